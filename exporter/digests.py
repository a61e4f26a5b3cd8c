"""Digests of values: what two processes compare without handing 350 MB to each other."""

import hashlib

import numpy as np


def digest(value: np.ndarray) -> str:
    """The sha256 of an array's bytes, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
