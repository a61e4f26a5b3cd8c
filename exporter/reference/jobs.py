"""What references there are; without TensorFlow and NumPy."""

#: Other implementations that an artifact can be held against.
KINDS = ("numpy", "keras")
