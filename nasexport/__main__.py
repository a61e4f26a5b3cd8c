"""``python -m nasexport`` is the command ``nasexport``."""

from exporter.__main__ import run

if __name__ == "__main__":
    run()
