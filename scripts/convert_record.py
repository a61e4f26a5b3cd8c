"""Makes ``configs/references/`` from outputs that were recorded with the original networks under TensorFlow 1.15.5.

``python scripts/convert_record.py MODEL RECORD.npz CHECKPOINT``: RECORD has ``logits``, ``features`` and
``stat_END_POINT``, of the packaged images; CHECKPOINT holds the weights they were recorded with, which
``nasexport synth MODEL --seed 0`` writes.
"""

import sys
from pathlib import Path

import numpy as np

from exporter.checkpoint import source
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.reference import recorded, result

_NAMES = {"logits": "Logits", "features": "global_pool"}


def main(model: str, record: str, checkpoint: str) -> None:
    with np.load(record) as file:
        whole = {_NAMES[name]: file[name] for name in sorted(file.files) if name in _NAMES}
        short = {name.removeprefix("stat_"): file[name] for name in sorted(file.files) if name not in _NAMES}
    arrays = result.named_arrays(end_points=whole, end_point_statistics=short)
    with source.opened(Path(checkpoint)) as found:
        facts = {
            "model": model,
            "recorded_with": "the original TF-Slim network under TensorFlow 1.15.5",
            "files": found.files,
            "images": {"count": VERIFICATION_IMAGES.count, "seed": VERIFICATION_IMAGES.seed},
            "synthetic": True,
        }
        path = Path("configs", "references", f"{recorded.key(found.files)}.npz")
    recorded.save(path, arrays, facts)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
