"""What users call: a file a door. A door takes arguments, builds one complete job, runs the loop, and reports."""
