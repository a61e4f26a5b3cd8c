"""TensorFlow's protocol buffers without TensorFlow, for processes that need no more of it.

The classes of its messages are plain modules of its package (``tensorflow.core.protobuf.saved_model_pb2``), imported in
some 30 ms. But Python imports a package before its modules, and ``tensorflow`` itself takes seconds. So a process that
only reads messages enters packages of these names that have nothing but the modules below ``tensorflow.core``. What
imports messages is written as ever, and gets the same classes in any process; descriptors of our own would have to
follow TensorFlow's for sixty messages, and be read as other classes than TensorFlow's in the processes that have both.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

_NAME = "tensorflow"
#: The part with the messages. The modules in it import protobuf and each other, nothing else.
_MESSAGES = "core"


class TensorFlowNeededError(Exception):
    """What a job found takes TensorFlow to tell: `exporter.processes.run` runs it anew in a process with it."""


class _Process:
    without = False


def enter_messages() -> None:
    """Makes the modules below ``tensorflow.core`` importable, and TensorFlow not: this process is to do without it."""
    _Process.without = True
    _enter_packages()


def _enter_packages() -> None:
    installed = None if _NAME in sys.modules else importlib.util.find_spec(_NAME)
    if installed and installed.submodule_search_locations:
        _enter(_NAME, [])
        _enter(f"{_NAME}.{_MESSAGES}", [str(Path(each, _MESSAGES)) for each in installed.submodule_search_locations])


@contextlib.contextmanager
def only_messages() -> Iterator[None]:
    """Within it, modules below ``tensorflow.core`` are imported without TensorFlow, which the process may need later.

    What is imported here is the same as later: protobuf has one class for each message.
    """
    if _NAME in sys.modules:
        yield
        return
    _enter_packages()
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[name]


def _enter(name: str, places: list[str]) -> None:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = places
    sys.modules[name] = importlib.util.module_from_spec(spec)


def require_tensorflow() -> None:
    """To be called before an import of TensorFlow that most jobs do without.

    Raises:
        TensorFlowNeededError: this process does without it.
    """
    if _Process.without:
        raise TensorFlowNeededError
