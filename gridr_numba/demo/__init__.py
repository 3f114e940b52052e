"""A real job, made, run and verified."""
