"""What workers of our own have in common: imported once, by the process that they are forks of, for artifacts that run
with TensorFlow.
"""

from exporter.evaluation import cluster_worker

cluster_worker.become_quiet()

import tensorflow_hub  # noqa: E402

from exporter.evaluation import preprocessing  # noqa: E402

__all__ = ["preprocessing", "tensorflow_hub"]
