"""Names and numbers of the published formats; no TensorFlow needed to know them."""

from exporter.config import Task

#: Decay of the moving averages when an artifact of version 3 and later is fine-tuned, unless told otherwise.
DEFAULT_MOMENTUM = 0.99

#: The first version with a ``serving_default`` signature.
FIRST_SERVING_VERSION = 5
SERVING_INPUT = "inputs"
SERVING_OUTPUTS: dict[Task, str] = {"classification": "logits", "feature_vector": "feature_vector"}
