"""Writes ``model.pt2``, with nasexport, in an interpreter that has PyTorch and no TensorFlow.

    python pytorch_writer.py FOLDER...

Each FOLDER holds ``config.json``, the configuration, ``values.npz``, the values by checkpoint name, and
``wanted.json``, the task and the names of the folders to be made in it.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from exporter.artifact.options import ArtifactOptions
from exporter.artifact.pytorch import Writer
from exporter.models.config import ModelConfig


def main(folder):
    with open(os.path.join(folder, "config.json")) as file:
        config = ModelConfig.from_dict(json.load(file))
    with open(os.path.join(folder, "wanted.json")) as file:
        task, outputs = json.load(file)
    with np.load(os.path.join(folder, "values.npz")) as file:
        values = {name: file[name] for name in file.files}
    for output in outputs:
        Writer(config, task, values).write("pytorch", Path(folder, output), ArtifactOptions(None))
    assert not {"tensorflow", "keras"} & set(sys.modules)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        main(folder)
