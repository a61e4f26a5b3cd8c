"""What is logged, on standard error: with ``-v`` what is being done, with ``--debug`` everything."""

import logging as python_logging

from absl import flags, logging

from exporter import terminal


class Lines(logging.PythonFormatter):
    """absl's lines, fit for a terminal whatever they quote."""

    def format(self, record: python_logging.LogRecord) -> str:
        return terminal.joined(super().format(record).split("\n"))


def show(*, verbose: bool, debug: bool) -> None:
    """Sets up the log; without either, it has warnings alone."""
    flags.FLAGS.mark_as_parsed()  # otherwise absl.logging warns about flags
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(Lines())
    logging.set_verbosity(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)
