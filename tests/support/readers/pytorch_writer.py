"""Writes ``model.pt2``, with nasexport, in an interpreter that has PyTorch and no TensorFlow.

    python pytorch_writer.py FOLDER TASK OUTPUT...

FOLDER holds ``config.json``, the configuration, and ``values.npz``, the values by checkpoint name. Each OUTPUT is a
folder to be made.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.pytorch import Writer
from exporter.models.config import ModelConfig


def main(folder, task, outputs):
    with open(os.path.join(folder, "config.json")) as file:
        config = ModelConfig.from_dict(json.load(file))
    with np.load(os.path.join(folder, "values.npz")) as file:
        values = {name: file[name] for name in file.files}
    for output in outputs:
        Writer(config, task, values).write("pytorch", Path(output), ArtifactOptions(None))
    assert not {"tensorflow", "keras"} & set(sys.modules)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
