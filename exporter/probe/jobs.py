"""What probes are asked for; without TensorFlow and NumPy."""

#: How many draws of each decision are counted.
DRAWS = 100_000

DROPOUT = "dropout"
