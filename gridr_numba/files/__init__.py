"""Inputs, outputs and their formats, and readers and writers of windows."""
