"""What artifacts can be held against, and how far they may be off: what the command line offers, without NumPy."""

#: Largest difference allowed, as a part of the largest magnitude in the reference. Graphs of the same weights differ
#: by up to 5e-5 of it between TensorFlow versions; a kernel that is 2 % off differs by far more.
TOLERANCE = 1e-4

#: Other implementations that an artifact can be held against.
KINDS = ("numpy", "keras")

#: What can be compared, in order; the files tell the first ones, and the others take loading the artifacts.
FILE_ASPECTS = ("format", "tag-sets", "signatures", "variables")
ASPECTS = (*FILE_ASPECTS, "trainable", "l2", "outputs", "training", "momentum")
