"""All artifacts of a release: planned, made, merged, checked."""
