"""``python -m exporter`` and the ``nasexport`` command."""

import sys
from typing import NoReturn

from exporter.cli import ending, streams


def run() -> NoReturn:
    """Runs the command line under the name that users know it by."""
    streams.prepare()
    ending.heed_signals()
    sys.exit(ending.status_of(_command))


def _command() -> object:
    # Imported here, to be stopped as quietly as all that comes after it.
    from exporter.cli.main import main

    return main(prog_name="nasexport", standalone_mode=False)


if __name__ == "__main__":
    run()
