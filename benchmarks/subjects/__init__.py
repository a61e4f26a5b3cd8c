"""What is measured, one module for each subject; each has ``measure(workspace)``, which returns its figures."""
