"""``python -m benchmarks.peers.keras_export NETWORK.json FOLDER``: Keras Applications' network, exported by Keras."""

import json
import sys
from pathlib import Path

from benchmarks.peers.keras_network import made


def main(network: str, folder: str) -> None:
    """Builds and exports; there is no checkpoint to read, as Keras makes random weights."""
    model = made(json.loads(Path(network).read_text(encoding="utf-8")))
    model.export(folder, verbose=False)
    print(json.dumps({"parameters": model.count_params()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
