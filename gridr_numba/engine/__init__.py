"""The job, the steps, and the one loop over windows."""
