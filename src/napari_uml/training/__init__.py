"""Training: a plain generator of epoch reports, checkpoints that resume to the same numbers, transfer between tasks."""
