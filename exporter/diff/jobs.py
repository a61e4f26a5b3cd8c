"""What artifacts can be held against, and how far they may be off: what the command line offers, without NumPy."""

#: What can be compared, in order; the files tell the first ones, and the others take loading the artifacts.
FILE_ASPECTS = ("format", "tag-sets", "signatures", "variables")
ASPECTS = (*FILE_ASPECTS, "trainable", "l2", "outputs", "training", "momentum")
