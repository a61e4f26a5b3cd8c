"""``python -m benchmarks.peers.keras_save NETWORK.json FOLDER``: Keras Applications' network, saved as ``.keras``."""

import json
import sys
from pathlib import Path

from benchmarks.peers.keras_network import build


def main(network: str, folder: str) -> None:
    """Builds and saves the network; Keras initializes it at random, so no checkpoint is read."""
    model = build(json.loads(Path(network).read_text(encoding="utf-8")))
    Path(folder).mkdir()
    model.save(Path(folder) / "model.keras")
    print(json.dumps({"parameters": model.count_params()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
