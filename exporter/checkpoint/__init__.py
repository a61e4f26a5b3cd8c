"""From a path to a checkpoint's values, and synthetic checkpoints."""
