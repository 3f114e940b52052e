"""Numba kernels: numpy arrays and scalars in, a trailing `out` written, nothing raised, nothing allocated per pixel."""
