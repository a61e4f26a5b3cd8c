"""What references there are; without TensorFlow and NumPy."""

#: Other implementations that an artifact can be held against.
KINDS = ("numpy", "keras")

#: The models that Keras Applications has, and what they are called there.
KERAS_NETWORKS = {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}
