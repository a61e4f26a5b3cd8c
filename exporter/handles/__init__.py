"""Old addresses of artifacts, made to work: TensorFlow Hub's cache filled with what they are the addresses of."""
