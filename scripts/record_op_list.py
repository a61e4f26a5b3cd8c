"""Writes the operations that the running TensorFlow knows, as ``exporter/data/ops_tensorflow_1.15.json``.

Run it under the oldest reader that artifacts must work with (Python 3.7, TensorFlow 1.15.5):

    python3.7 scripts/record_op_list.py > exporter/data/ops_tensorflow_1.15.json

For each operation: its attributes, each with its type, whether it has a default (hexadecimal serialized AttrValue),
and the values allowed where the operation restricts them (DataType numbers or strings).
"""

import json
import sys

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python import pywrap_tensorflow


def _attribute(attribute):
    described = {"type": attribute.type}
    if attribute.HasField("default_value"):
        described["default"] = attribute.default_value.SerializeToString(deterministic=True).hex()
    if attribute.HasField("allowed_values"):
        allowed = attribute.allowed_values.list
        described["allowed"] = list(allowed.type) or [value.decode() for value in allowed.s]
    return described


def main():
    op_list = op_def_pb2.OpList.FromString(pywrap_tensorflow.TF_GetBuffer(pywrap_tensorflow.TF_GetAllOpList()))
    operations = {op.name: {attribute.name: _attribute(attribute) for attribute in op.attr} for op in op_list.op}
    lines = (
        "  %s: %s" % (json.dumps(name), json.dumps(operations[name], sort_keys=True)) for name in sorted(operations)
    )
    sys.stdout.write('{"tensorflow": "%s",\n "operations": {\n%s\n }}\n' % (tf.__version__, ",\n".join(lines)))


if __name__ == "__main__":
    main()
