"""Jobs that need no TensorFlow run in processes that never import it, and get it where they find that they need it."""

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import tensorflow as tf

from exporter.errors import MachineError
from exporter.processes import run
from exporter.processes.job import Job, NoEvent
from exporter.processes.jobs import FIND_CARD, FindCardRequest
from exporter.progress import Say
from exporter.without_tensorflow import require_tensorflow
from tests.support import data_sets
from tests.support.command import Command, artifact_folder, succeeded


@dataclass(frozen=True)
class Question:
    """A ``saved_model.pb`` to read, and whether to ask TensorFlow for its version as well."""

    path: Path
    ask: bool = False


@dataclass(frozen=True)
class Answer:
    """How many operations the main graph has, TensorFlow's version if it was asked, and all modules of its; and what
    the process came from.
    """

    operations: int
    version: str | None
    modules: tuple[str, ...]
    parent: int


def answer(request: Question, say: Say) -> Answer:
    """The job of this module."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString(request.path.read_bytes())
    version = None
    if request.ask:
        say("asking")
        require_tensorflow()
        import tensorflow as tf

        version = tf.__version__
    modules = tuple(sorted(name for name in sys.modules if name.split(".")[0] == "tensorflow"))
    return Answer(len(saved_model.meta_graphs[0].graph_def.node), version, modules, os.getppid())


def not_there(request: Question, say: Say) -> Answer:
    """A job that its row says the wrong thing of."""
    from tensorflow.python.framework import op_def_registry

    raise AssertionError(op_def_registry)


_MODULE = "tests.processes.test_without_tensorflow"
ANSWER: Job[Question, Answer, NoEvent] = Job(
    f"{_MODULE}:ANSWER", f"{_MODULE}:answer", Question, Answer, tensorflow=False
)
IMPORTING: Job[Question, Answer, NoEvent] = dataclasses.replace(
    ANSWER, reference=f"{_MODULE}:IMPORTING", imports=("wave",)
)
NOT_THERE: Job[Question, Answer, NoEvent] = Job(
    f"{_MODULE}:NOT_THERE", f"{_MODULE}:not_there", Question, Answer, tensorflow=False
)


@pytest.fixture
def path(tiny_artifacts: Path) -> Path:
    return artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5) / "saved_model.pb"


def test_it_reads_messages_and_imports_nothing_else(path: Path) -> None:
    found = run.run(ANSWER, Question(path)).result
    assert found.operations > 0 and found.version is None
    assert {"tensorflow", "tensorflow.core.protobuf.saved_model_pb2"} <= set(found.modules)
    assert {name for name in found.modules if not name.startswith("tensorflow.core")} == {"tensorflow"}


@pytest.mark.long
def test_what_needs_tensorflow_after_all_gets_it_and_says_the_same(path: Path) -> None:
    said: list[str] = []
    found = run.run(ANSWER, Question(path, ask=True), said.append).result
    assert found.version and "tensorflow.python" in found.modules
    assert found.operations == run.run(ANSWER, Question(path)).result.operations
    assert said == ["asking"] * 2


@pytest.mark.long
def test_it_waits_for_no_import_of_others(path: Path) -> None:
    with run.shared_import(FIND_CARD, ANSWER):
        assert run.run(ANSWER, Question(path)).result.operations
        assert not psutil.Process().children()
        run.run(FIND_CARD, FindCardRequest())
        assert "tensorflow.python" not in run.run(ANSWER, Question(path)).result.modules


@pytest.mark.long
def test_what_else_takes_long_to_import_is_imported_once(path: Path) -> None:
    with run.shared_import(FIND_CARD, ANSWER, IMPORTING):
        found = [run.run(IMPORTING, Question(path)).result for _ in range(2)]
        (server,) = psutil.Process().children()
        assert [each.parent for each in found] == [server.pid] * 2 and "wave" in server.cmdline()
        assert {name for name in found[1].modules if not name.startswith("tensorflow.core")} == {"tensorflow"}
        assert run.run(ANSWER, Question(path)).result.parent == os.getpid()
        asked = run.run(IMPORTING, Question(path, ask=True)).result
        assert asked.version and asked.parent == os.getpid()
        run.run(FIND_CARD, FindCardRequest())
        assert len(psutil.Process().children()) == 2
    assert not psutil.Process().children()


def test_tensorflow_is_not_there_by_accident(path: Path) -> None:
    with pytest.raises(MachineError, match=r"No module named 'tensorflow\.python'"):
        run.run(NOT_THERE, Question(path))


def _graph(folder: Path) -> Path:
    """A SavedModel of TensorFlow 1, whose variables its file alone tells."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 64, 64, 3])
        factor = v1.get_variable("factor", [3], use_resource=True)
        session.run(factor.initializer)
        v1.saved_model.simple_save(session, str(folder), {"images": images}, {"scaled": images * factor})
    return folder


@pytest.mark.parametrize("command", ["inspect", "inspect a graph", "inspect a checkpoint", "diff", "synth"])
def test_commands_that_need_files_alone_never_import_it(
    own_cli: Command, path: Path, tiny_checkpoint: Path, command: str
) -> None:
    args, imported = {
        "inspect": (("inspect", path.parent), "saved_model_pb2"),
        "inspect a graph": (("inspect", own_cli.folder / "graph"), "tensor_bundle_pb2"),
        "inspect a checkpoint": (("inspect", tiny_checkpoint), "tensor_bundle_pb2"),
        "diff": (("diff", path.parent, path.parent, "--only", "variables"), "saved_model_pb2"),
        "synth": (("synth", "nasnet_mobile", "--output", "model.ckpt"), "tensor_bundle_pb2"),
    }[command]
    if command == "inspect a graph":
        _graph(own_cli.folder / "graph")
    # Its own process, and that of its job, write what they import.
    telling = own_cli.with_variables(PYTHONPROFILEIMPORTTIME="1")
    told = succeeded(telling.started("--debug", *args)).stderr
    found = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert f"tensorflow.core.protobuf.{imported}" in found
    assert not [name for name in found if name.startswith(("tensorflow.python", "tensorflow._api", "keras"))]


#: What a worker of a cluster may do one after the other, for two artifacts.
_RECORD_FIRST = """
import sys
from pathlib import Path
from exporter.evaluation.jobs import Image
from exporter.evaluation.records import image_in

record = image_in(Image(Path(sys.argv[1]), offset=0), None)
assert not [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]
import tensorflow as tf
assert image_in(Image(Path(sys.argv[1]), offset=0), None) == record
print(record.content.decode(), record.label, tf.train.Example.FromString(tf.train.Example().SerializeToString()))
"""


@pytest.mark.long
def test_a_record_is_read_without_it_by_a_process_that_may_need_it_later(tmp_path: Path) -> None:
    (path,) = data_sets.records(tmp_path / "records", [[("a.png", b"an image", 3)]], "validation").iterdir()
    found = subprocess.run([sys.executable, "-c", _RECORD_FIRST, path], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["an", "image", "3"]
