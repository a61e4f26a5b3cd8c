"""How many threads an artifact is run with: one where there is a worker for each core, else what its library takes.

TensorFlow has variables of its own for that.
"""

import os

VARIABLE = "NASEXPORT_WORKER_THREADS"
#: What makes a process compute with one thread, whichever library does.
ONE = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", VARIABLE), "1")


def threads() -> int:
    """The number of threads; 0 where nobody said."""
    return int(os.environ.get(VARIABLE, "0"))
