"""``python -m exporter`` and the ``nasexport`` command."""

from exporter.cli.main import main


def run() -> None:
    """Runs the command line under the name that users know it by."""
    main(prog_name="nasexport")


if __name__ == "__main__":
    run()
