"""The benchmarks measure what they say, and their peers compute the same networks. No time is judged here."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import measuring, report, results, timeline
from benchmarks.measuring import BenchmarkError, Contestant, Run
from benchmarks.results import Figure, Goal
from benchmarks.subjects import growth
from benchmarks.workspace import Workspace
from exporter.models.config import ModelConfig
from exporter.models.variables import all_variables, variables
from exporter.reference import numpy_network
from tests.support.command import CHECKOUT
from tests.support.fixtures import REDUCING, REDUCING_PNASNET
from tests.support.networks import TOLERANCE, difference

MB = 10**6
MACHINE = {
    "cpu": "a cpu", "cores": 2, "memory_gib": 24, "system": "Linux x86_64", "python": "3.11.7",
    "tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.6", "date": "2026-01-02", "commit": "0123456789ab",
}  # fmt: skip
#: Holds 150 MB itself, and its child 80 MB for a second.
HOLDER = """
import subprocess, sys, time
held = bytearray(b"x") * 150_000_000
child = subprocess.Popen([sys.executable, "-c", "import time; held = bytearray(b'x') * 80_000_000; time.sleep(1)"])
child.wait()
print("not the facts")
print('{"seconds": 1.5}')
"""

#: Holds 150 MB together with its child, for so long that it is seen.
SHARER = """
import os, time
held = bytearray(b"x") * 150_000_000
if not os.fork():
    time.sleep(3)
    os._exit(0)
os.wait()
"""


def _figure(key: str, ours: list[float], peer: list[float], goal: Goal | None = None, unit: str = "s") -> Figure:
    return Figure(
        key, f"the {key}", unit, {"nasexport": ours, "another & <peer>": peer}, "nasexport", "another & <peer>", goal
    )


def _benchmarks(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)


def test_measures_all_processes_and_reads_the_facts(tmp_path: Path) -> None:
    run = measuring.measure(Contestant("a holder", [sys.executable, "-c", HOLDER]), tmp_path)
    assert 1 < run.seconds < 60
    assert 150 * MB < run.largest_process < 200 * MB
    assert 230 * MB < run.all_processes < 300 * MB
    assert run.facts == {"seconds": 1.5}


def test_measures_what_all_processes_compute(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\n{busy}"
    run = measuring.measure(Contestant("a worker", [sys.executable, "-c", program]), tmp_path)
    assert 0.59 <= run.processor_seconds < 5  # that of both, and of starting them on a busy machine
    assert measuring.processor_seconds({"a worker": [run]}) == {"a worker": [run.processor_seconds]}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system does not tell what is shared")
def test_pages_that_processes_share_count_once(tmp_path: Path) -> None:
    run = measuring.measure(Contestant("a sharer", [sys.executable, "-c", SHARER]), tmp_path)
    assert run.all_processes > 300 * MB
    assert 150 * MB < run.proportional_size < 200 * MB


def test_memory_of_whoever_measures_does_not_count(tmp_path: Path) -> None:
    """A child begins as a copy of its parent, whose memory the system counts as the child's."""
    held = np.ones(400 * MB // 8)
    run = measuring.measure(Contestant("a sleeper", [sys.executable, "-c", "import time; time.sleep(0.5)"]), tmp_path)
    assert 0 < run.largest_process < 100 * MB
    assert held.all()


def test_contestants_take_turns_and_each_begins_once(tmp_path: Path) -> None:
    order: list[str] = []

    def ran(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    contestants = [Contestant(name, [sys.executable, "-c", "pass"], before=ran(name)) for name in "abc"]
    found = measuring.take_turns(contestants, 3, tmp_path)
    assert "".join(order) == "abc" + "bca" + "cab"
    assert {name: len(runs) for name, runs in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_contestant_that_fails_is_no_result(tmp_path: Path) -> None:
    program = "import sys; sys.exit('what went wrong')"
    with pytest.raises(BenchmarkError) as error:
        measuring.take_turns([Contestant("a loser", [sys.executable, "-c", program])], 2, tmp_path)
    log = tmp_path / "a-loser.err"
    expected = f"a loser failed with exit status 1, expected 0; its error output is in {log}\nwhat went wrong"
    assert error.value.message == expected


def test_contestant_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no-such-program: No such file"):
        measuring.measure(Contestant("a stranger", ["no-such-program"]), tmp_path)


def test_ratio_is_of_medians_and_decides_about_goals() -> None:
    figure = _figure("build/x", [1.0, 9.0, 2.0], [4.0, 4.0, 50.0], Goal("ratio", 0.5))
    assert figure.ratio == 0.5
    assert figure.met is True
    assert _figure("x/y", [2.1], [4.0], Goal("ratio", 0.5)).met is False
    assert _figure("x/y", [1.1], [1.0], Goal("ratio", 1.0, most=False)).met is True
    assert _figure("x/y", [0.31], [9.0], Goal("value", 0.3)).met is False
    assert _figure("x/y", [1.0], [1.0]).met is None


def test_a_later_run_replaces_its_own_figures_and_keeps_the_others(tmp_path: Path) -> None:
    both = [_figure("build/a", [1.0], [2.0], Goal("ratio", 0.5)), _figure("load/a", [3.0], [4.0])]
    results.save(tmp_path, results.merged(results.load(tmp_path), MACHINE, both))
    later = {**MACHINE, "date": "2026-02-03", "commit": "ba9876543210"}
    results.save(tmp_path, results.merged(results.load(tmp_path), later, [_figure("load/a", [5.0, 7.0], [4.0, 4.0])]))
    found = results.load(tmp_path)
    assert results.figures(found)[0] == both[0]
    load = found["figures"]["load/a"]
    assert (load["runs"]["nasexport"], load["median"]["nasexport"], load["ratio"]) == ([5.0, 7.0], 6.0, 1.5)
    assert [each["date"] for each in found["figures"].values()] == ["2026-01-02", "2026-02-03"]


def test_a_subject_has_the_figures_of_one_machine() -> None:
    both = [_figure("load/a", [3.0], [4.0]), _figure("load/b", [3.0], [4.0]), _figure("build/a", [3.0], [4.0])]
    found = results.merged({"figures": {}}, MACHINE, both)
    later = {**MACHINE, "cores": 64, "date": "2026-02-03"}
    assert results.elsewhere(found, {**MACHINE, "commit": "ba9876543210"}, ["load", "build"]) == []
    assert results.elsewhere(found, later, ["load"]) == ["load/a", "load/b"]
    found = results.merged(found, later, [_figure("load/a", [5.0], [4.0])])
    assert {key: each["machine"]["cores"] for key, each in found["figures"].items()} == {"build/a": 2, "load/a": 64}
    text = report.goals(results.merged(found, later, [_figure("load/a", [5.0], [4.0], Goal("ratio", 2.0))]), ["load"])
    assert "Measured with a cpu, 64 cores" in text and "a cpu, 2 cores" not in text
    text = report.filled("<!-- figures: build -->\n<!-- end of figures -->", found, "folder", ["build", "load"])
    assert "Measured with a cpu, 2 cores, 24 GiB" in text and "on 2026-01-02 at commit 0123456789ab." in text


def test_damaged_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / results.FILE).write_text('{"figures": {"load/a": {}}}')
    with pytest.raises(BenchmarkError, match="was not written by these benchmarks"):
        results.load(tmp_path)


def _found() -> dict[str, Any]:
    grown = {
        "axis": "number of cells", "at": [6, 12], "seconds": {"nasexport": [[1.0, 1.1], [2.0]]},
        "line": {"nasexport": {"slope": 0.15, "intercept": 0.1, "r_squared": 1.0}},
    }  # fmt: skip
    at_least = Goal("value", 0.98, most=False)
    figures = [
        _figure("build/a", [1.0, 1.25, 1.5], [5.0, 4.0, 6.0], Goal("ratio", 0.2)),
        _figure("build/b", [812.3], [1685.0], unit="MB"),
        Figure("growth/cells/line", "R²", "", {"nasexport": [0.99]}, "nasexport", None, at_least, grown),
    ]  # fmt: skip
    return results.merged({"figures": {}}, MACHINE, figures)


def test_page_gets_tables_between_its_marks_and_keeps_the_rest(tmp_path: Path) -> None:
    folder, page = tmp_path / "performance", tmp_path / "performance.md"
    parts = "".join(
        f"<!-- figures: {name} -->\nold\n<!-- end of figures -->\nprose of {name}\n" for name in ("goals", "build")
    )
    page.write_text(f"# Title\n{parts}")
    report.write(_found(), folder, ("build", "growth"))
    text = page.read_text()
    assert "old" not in text
    assert "prose of goals" in text and "prose of build" in text
    assert "a cpu, 2 cores, 24 GiB" in text and "on 2026-01-02 at commit 0123456789ab" in text
    assert "| the build/a | **0.25** | at most 0.20 x | no | 1.25 s | 5.00 s (another & <peer>) |" in text
    assert "| the build/b | **0.48** |  |  | 812 MB | 1,685 MB (another & <peer>) |" in text
    assert "| R² |  | at least 0.98 | yes | 0.9900 |" in text
    assert "![build](performance/build.svg)" in text
    plots = sorted(path.name for path in folder.iterdir())
    assert plots == ["build-memory.svg", "build.svg", "growth-cells.svg"]
    for name in plots:
        root = ElementTree.parse(folder / name).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        # A plot that reads anything from elsewhere shows nothing on a forge's page.
        addresses = re.findall(r"""(?:href|src)=["']([^"']*)|url\(([^)]*)|@import""", (folder / name).read_text())
        assert all("".join(address).startswith("#") for address in addresses)
    drawn = " ".join(ElementTree.parse(folder / "build.svg").getroot().itertext())
    for text in ("the build/a: ratio 0.25", "nasexport", "1.25 s", "another & <peer>", "5.00 s"):
        assert text in drawn
    before = {path: path.read_bytes() for path in (page, *folder.iterdir())}
    report.write(_found(), folder, ("build", "growth"))
    assert {path: path.read_bytes() for path in before} == before


def test_page_with_a_part_that_nothing_measures_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="'biuld', which nothing measures: expected goals, build"):
        report.filled("<!-- figures: biuld -->\n<!-- end of figures -->", _found(), "performance", ("build",))


def test_page_of_the_project_has_a_part_for_each_subject() -> None:
    from benchmarks.__main__ import MEASURED_WITH, SUBJECTS

    text = (CHECKOUT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    for name in ("goals", *SUBJECTS, *MEASURED_WITH):
        assert f"<!-- figures: {name} -->" in text


class _MadeUp(Workspace):
    """Times that are linear in the cells, quadratic in the filters."""

    def checkpoint(self, config: ModelConfig, source: Path | None = None) -> Path:
        return Path("none")

    def take_turns(self, subject: str, contestants: list[Contestant], runs: int | None = None) -> dict[str, list[Run]]:
        def seconds(name: str) -> float:
            cells, filters = map(int, name.split("_")[-2:])
            return 1.0 + 0.25 * cells + filters**2 / 100

        return {each.name: [Run(seconds(each.name), 0, 0, {})] for each in contestants}


def test_growth_tells_straight_from_bent(tmp_path: Path) -> None:
    figures = {figure.key: figure for figure in growth.measure(_MadeUp(tmp_path, runs=1))}
    straight, bent = figures["growth/cells/line"], figures["growth/filters/line"]
    assert straight.extra["line"]["nasexport"] == pytest.approx({"slope": 0.25, "intercept": 1.64, "r_squared": 1.0})
    assert straight.median("nasexport") == pytest.approx(0.0, abs=1e-9)
    assert straight.met is True
    assert straight.extra["last_slope_over_first"]["nasexport"] == pytest.approx(1.0)
    assert bent.median("nasexport") > 10
    assert bent.met is False
    # From 132 to 176 filters, against from 44 to 88.
    assert bent.extra["last_slope_over_first"]["nasexport"] == pytest.approx(7 / 3)
    assert figures["growth/cells/largest"].median("nasexport") == pytest.approx(1.64 + 9)


@pytest.mark.long
def test_command_measures_and_reports(tmp_path: Path) -> None:
    output, page = tmp_path / "performance", tmp_path / "performance.md"
    page.write_text("<!-- figures: startup -->\n<!-- end of figures -->\n")
    options = ("--work", tmp_path / "work", "--output", output)
    done = _benchmarks("--only", "startup", "--runs", 1, *options)
    assert done.returncode == 0, done.stderr
    assert "| nasexport --help | **0." in done.stdout
    assert "startup: run 1 of 1, nasexport models:" in done.stderr
    found = json.loads((output / results.FILE).read_text())
    assert list(found["figures"]) == ["startup/help", "startup/models"]
    assert all(each["machine"]["cores"] >= 1 for each in found["figures"].values())
    assert "| nasexport models | **0." in page.read_text()
    before = {path: path.read_bytes() for path in (page, *output.iterdir())}
    again = _benchmarks("--report-only", *options)
    assert again.stdout == done.stdout
    assert {path: path.read_bytes() for path in (page, *output.iterdir())} == before


@pytest.mark.long
def test_command_says_which_contestant_failed(tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "performance"
    (work / "checkpoints").mkdir(parents=True)
    (work / "checkpoints" / "nasnet_mobile.tar.gz").write_bytes(b"no archive")
    options = ("--models", "nasnet_mobile", "--work", work, "--output", output)
    done = _benchmarks("--only", "release", *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "benchmarks: error: nasexport release --jobs 2 failed with exit status 1, expected 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (output / results.FILE).exists()


@pytest.mark.long
@pytest.mark.parametrize("fields", [REDUCING, REDUCING_PNASNET], ids=["nasnet", "pnasnet"])
def test_network_of_the_original_toolchain_is_the_same(fields: dict[str, Any], tmp_path: Path) -> None:
    """A peer that computes less would win."""
    import tensorflow as tf

    from benchmarks.peers import original_toolchain

    config = ModelConfig.from_dict(fields)
    network = json.loads(Workspace(tmp_path, runs=1).network(config).read_text())
    random = np.random.default_rng(0)
    values = {
        spec.name: random.uniform(0.5, 1.5, spec.shape).astype(np.float32)
        if len(spec.shape) == 1
        else random.normal(0, 0.2, spec.shape).astype(np.float32)
        for spec in all_variables(config)
    }
    images = random.random((2, config.image_size, config.image_size, 3), np.float32)
    with tf.Graph().as_default():
        end_points = original_toolchain.network(network, tf.constant(images))
        held = {variable.op.name: variable for variable in tf.compat.v1.global_variables()}
        assert {name: tuple(variable.shape) for name, variable in held.items()} == {
            spec.name: spec.shape for spec in variables(config, "classification")
        }
        with tf.compat.v1.Session() as session:
            # One run for all: each run on its own takes as long as the network.
            fed = {variable.initializer.inputs[1]: values[name] for name, variable in held.items()}
            session.run([variable.initializer for variable in held.values()], fed)
            found = session.run(end_points)
    expected = numpy_network.outputs(config, values, images)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert difference(found[name], value) <= TOLERANCE, name


@pytest.mark.long
def test_operations_of_a_saved_graph_are_counted(tmp_path: Path) -> None:
    """3 x 3 x 3 multiplications for each of 8 x 8 x 4 numbers, 3 x 3 for each of 8 x 8 x 4 more, and 4 x 5."""
    program = f"""
import tensorflow as tf
root = tf.Module()
kernel, depthwise, weights = tf.ones([3, 3, 3, 4]), tf.ones([3, 3, 4, 1]), tf.ones([4, 5])
def call(images):
    net = tf.nn.conv2d(images, kernel, 1, "SAME")
    net = tf.nn.depthwise_conv2d(net, depthwise, [1, 1, 1, 1], "SAME")
    return tf.matmul(tf.reduce_mean(net, [1, 2]), weights)
root.__call__ = tf.function(call, input_signature=[tf.TensorSpec([None, 8, 8, 3])])
tf.saved_model.save(root, {str(tmp_path)!r})
from benchmarks.peers import limits
print(limits.count({str(tmp_path)!r})["operations"])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    multiplications = 27 * 256 + 9 * 256 + 20
    assert int(done.stdout) == 2 * multiplications


#: Computes for half a second itself, and a second in a child that is named like a job.
COMPUTING = """
import os, time
def compute(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if not os.fork():
    with open("/proc/self/comm", "w") as file:
        file.write("probe")
    compute(1)
    os._exit(0)
compute(0.5)
os.wait()
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_timeline_shows_who_computed_when(tmp_path: Path) -> None:
    measured = timeline.record([sys.executable, "-c", COMPUTING])
    seconds = {lane.name: lane.seconds for lane in measured.lanes}
    # The last sample of a process that ends is missing.
    assert seconds["command"] == pytest.approx(0.5, abs=0.3) and seconds["probe"] == pytest.approx(1, abs=0.3)
    assert 0 < measured.share <= 1
    target = tmp_path / "steps.svg"
    arguments = [target, "--title", "Steps of a <test>", "--", sys.executable, "-c", COMPUTING]
    command = [sys.executable, "-m", "benchmarks.timeline", *map(str, arguments)]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[\d.]+ s, [\d.]+ % of all cores: .*steps\.svg\n", result.stdout)
    texts = [element.text or "" for element in ElementTree.parse(target).iter() if element.tag.endswith("text")]
    assert "Steps of a <test>" in texts and any(text.startswith("probe, ") for text in texts)
    assert any(re.fullmatch(r"all, [\d.]+ % of the cores", text) for text in texts)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_timeline_of_what_fails_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="exit status 3, expected 0"):
        timeline.record([sys.executable, "-c", "raise SystemExit(3)"])
