"""The formats ``timm`` and ``pytorch`` through the commands, where PyTorch is beside them; and broken on purpose."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from exporter.models.formats import FORMATS
from tests.artifact.test_timm import TINY_LARGE
from tests.support import environments, pictures
from tests.support import pytorch_faults as faults
from tests.support.command import CHECKOUT, Command, artifact_folder, files_below, refusal, succeeded
from tests.support.fixtures import REDUCING
from tests.support.pictures import picture, written
from tests.support.pytorch_faults import Change
from tests.support.servers import serving
from tests.support.shared import Store

pytestmark = pytest.mark.readers

_VALUES, _RUNS, _PROPERTIES = "variables with other values", "loads and runs", "properties that differ"
_OUTPUT, _END_POINTS = "output, relative difference", "end points, relative difference"
_FILES = {"timm": ["config.json", "model.safetensors", "nasexport.json"], "pytorch": ["model.pt2", "nasexport.json"]}
_FIELDS: dict[str, dict[str, Any]] = {
    "timm": {**TINY_LARGE, "image_size": 33, "num_conv_filters": 4, "stem_filters": 4, "formats": ["timm"]},
    "pytorch": {**REDUCING, "formats": ["pytorch"]},
}


@dataclass(frozen=True)
class Made:
    """What a format was made of: its configuration and checkpoint, and the artifact."""

    format: str
    config: Path
    checkpoint: Path
    artifact: Path


@pytest.fixture(scope="module")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A command that has PyTorch and timm."""
    folder, site = tmp_path_factory.mktemp("cli"), tmp_path_factory.mktemp("site")
    return Command(folder).with_program_first(environments.beside(environments.libraries()), site)


@pytest.fixture(scope="module")
def make(torch: Command, kept: Store) -> Callable[[str], Made]:
    def made(format_: str) -> Made:
        fields = _FIELDS[format_]

        def write(folder: Path) -> None:
            config, prefix = folder / "model.yaml", folder / "model.ckpt"
            config.write_text(yaml.safe_dump(fields), encoding="utf-8")
            succeeded(torch("synth", config, "--output", prefix))
            options = ("--format", format_, "--checkpoint", prefix, "--output", folder / "dist")
            succeeded(torch("build", config, *options))

        folder = kept.made(f"torch_{format_}", write, __file__)
        artifact = artifact_folder(folder / "dist", fields["name"], "classification", format_)
        return Made(format_, folder / "model.yaml", folder / "model.ckpt", artifact)

    return made


@pytest.mark.parametrize("format_", ["timm", "pytorch"])
def test_is_built_described_and_predicts(
    torch: Command, make: Callable[[str], Made], format_: str, tmp_path: Path
) -> None:
    made = make(format_)
    assert files_below(made.artifact) == _FILES[format_]
    said = json.loads((made.artifact / "nasexport.json").read_text(encoding="utf-8"))
    assert said["verification"] and all(check["passed"] for check in said["verification"])
    assert said["options"] == {"batch_norm_momentum": None}
    facts = json.loads(succeeded(torch("inspect", made.artifact, "--json")).stdout)
    size = _FIELDS[format_]["image_size"]
    assert (facts["format"], facts["image_size"], facts["refused"]) == (format_, size, [])
    assert {variable["trainable"] for variable in facts["variables"]["list"]} == {True, False}
    image = written(tmp_path / "image.png", picture(0, 70, 200))
    found = json.loads(succeeded(torch("predict", made.artifact, image, "--json")).stdout)
    assert len(found["images"][0]["classes"]) == 5
    vectors = made.artifact.parents[1] / "feature_vector" / format_
    embedded = ("embed", vectors, "--images", image.parent, "--output", tmp_path / "parts", "--json")
    record = json.loads(succeeded(torch(*embedded)).stdout)
    assert (record["rows"], record["format"], record["preprocessing"]["decoder"]) == (1, format_, "Pillow")


def test_what_timm_ships_is_told_beside_the_output(torch: Command, make: Callable[[str], Made]) -> None:
    """Of the artifact, and of its file of weights alone, as somebody else may have it under another name."""
    made = make("timm")
    lone = Path(shutil.copy(made.artifact / "model.safetensors", torch.cwd / "weights.safetensors"))
    of_others = ("verify", lone, "--model", made.config, "--checkpoint", made.checkpoint, "--json")
    (theirs,) = json.loads(succeeded(torch(*of_others)).stdout)
    (report,) = json.loads(succeeded(torch("verify", made.artifact, "--checkpoint", made.checkpoint, "--json")).stdout)
    figures = [{check["name"]: check["figure"] for check in each["checks"]} for each in (theirs, report)]
    assert figures[0].items() <= figures[1].items() and theirs["path"] == str(lone)
    (detail,) = (check["detail"] for check in report["checks"] if check["name"] == _OUTPUT)
    assert re.search(
        r"comb_iter_2_left corrected; 0\.\d+ as timm ships it, first divergent end point there: Stem", detail
    )


@pytest.mark.parametrize(
    ("format_", "missing"),
    [("timm", "torch: pip install 'nasexport[timm]'"), ("pytorch", "torch: pip install 'nasexport[pytorch]'")],
)
def test_without_pytorch_a_line_says_what_to_type(own_cli: Command, format_: str, missing: str) -> None:
    result = own_cli("build", "nasnet_large", "--format", format_)
    assert result.returncode == 3 and f"the format {format_} needs {missing}" in refusal(result)


def test_weights_for_timm_are_written_without_pytorch(own_cli: Command, make: Callable[[str], Made]) -> None:
    made = make("timm")
    options = ("--format", "timm", "--task", "classification", "--no-verify", "--checkpoint", made.checkpoint)
    folder = Path(succeeded(own_cli("build", made.config, *options)).stdout.strip())
    for file in _FILES["timm"][:-1]:
        assert (own_cli.cwd / folder / file).read_bytes() == (made.artifact / file).read_bytes(), file


@pytest.mark.parametrize("format_", ["timm", "pytorch"])
def test_the_programs_on_its_page_run_on_a_release_that_is_served(
    torch: Command, make: Callable[[str], Made], format_: str, tmp_path: Path
) -> None:
    made, release = make(format_), tmp_path / "release"
    name = _FIELDS[format_]["name"]
    given = ("--models", made.config, "--checkpoint", f"{name}={made.checkpoint}", "--formats", format_)
    succeeded(torch("release", *given, "--output", release))
    text = (release / f"google/imagenet/{name}/classification/{format_}.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").parse(text)
    programs = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
    pictures.written(tmp_path / "picture.jpg", pictures.picture(0), kind="JPEG")
    with serving(torch, release) as served:
        index = (release / "index.html").read_text(encoding="utf-8")
        (example,) = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", index, re.S)
        classes = _FIELDS[format_]["num_classes"] - (format_ == "timm")
        for program in (f"{chr(10).join(programs)}\nassert logits.shape == (2, {classes})", example):
            begin = _DECLARED if format_ == "timm" else ""
            text = begin + program.replace("&#34;", '"').replace("http://127.0.0.1:8000", served.url)
            assert served.url in text
            result = subprocess.run(
                [environments.libraries(), "-c", text],
                cwd=tmp_path,
                env={**environments.clean_variables(), "OMP_WAIT_POLICY": "PASSIVE"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stderr


#: What torchvision lacks beside another build of PyTorch than its own; see ``readers/timm_network.py``.
_DECLARED = """
import torch
declared = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    declared.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_importing_what_probes_are_forked_from_starts_no_thread() -> None:
    """As of jobs in `tests.processes.test_worker`."""
    modules = [spec.probe.partition(":")[0] for spec in FORMATS.values() if spec.imported_once]
    assert "exporter.probe.timm" in modules
    counted = "import os, numpy\ncount = lambda: len(os.listdir('/proc/self/task'))\nbefore = count()"
    program = (
        f"{environments.beside(environments.libraries())}{counted}\nimport {', '.join(modules)}\nprint(before, count())"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True)
    before, after = result.stdout.split()
    assert before == after


@dataclass(frozen=True)
class Wrong:
    """What is wrong, the check that must fail, what it must say, and which others may fail in consequence."""

    what: str
    check: str
    said: str
    change: Change
    also: tuple[str, ...] = ()


_INFERENCE = ("output", "end points")
_KERNEL, _OWN = "conv0/weights", "conv0.conv.weight"


def _change(name: str, change: Callable[[Any], Any]) -> Change:
    return faults.weights(lambda held: held.update({name: change(held[name])}))


def _without(name: str) -> Change:
    return faults.weights(lambda held: held.pop(name))


WRONG: dict[str, tuple[Wrong, ...]] = {
    "timm": (
        Wrong("a kernel times 1.001", _VALUES, _KERNEL, _change(_OWN, lambda v: v * np.float32(1.001)), _INFERENCE),
        Wrong("a kernel transposed", _VALUES, _KERNEL, _change(_OWN, lambda v: v.transpose(0, 1, 3, 2)), _INFERENCE),
        Wrong("a kernel in float16", _VALUES, _KERNEL, _change(_OWN, lambda v: v.astype(np.float16)), _INFERENCE),
        Wrong(
            "gamma and beta swapped",
            _VALUES,
            "conv0_bn/gamma",
            faults.weights(
                lambda held: held.update(
                    {"conv0.bn.weight": held["conv0.bn.bias"], "conv0.bn.bias": held["conv0.bn.weight"]}
                )
            ),
            _INFERENCE,
        ),
        Wrong("a value left out", _RUNS, "cell_3.conv_1x1.bn.bias", _without("cell_3.conv_1x1.bn.bias")),
        Wrong(
            "a value that the network does not have",
            _RUNS,
            "aux.weight",
            faults.weights(lambda held: held.update({"aux.weight": np.zeros(3, np.float32)})),
        ),
        Wrong(
            "a batch norm that claims a training",
            _PROPERTIES,
            "num_batches",
            _change("conv0.bn.num_batches_tracked", lambda v: np.int64(7) + v),
        ),
        Wrong(
            "timm's own crop",
            _PROPERTIES,
            "pretrained_cfg",
            faults.config(lambda said: said["pretrained_cfg"].update(crop_pct=0.911, interpolation="bicubic")),
        ),
        Wrong("no label offset", _RUNS, "", faults.config(lambda said: said["pretrained_cfg"].pop("label_offset"))),
        Wrong(
            "the mean of other networks",
            _PROPERTIES,
            "pretrained_cfg",
            faults.config(lambda said: said["pretrained_cfg"].update(mean=[0.485, 0.456, 0.406])),
            _INFERENCE,
        ),
        Wrong("the other network", _RUNS, "", faults.config(lambda said: said.update(architecture="pnasnet5large"))),
    ),
    "pytorch": (
        Wrong(
            "a kernel times 1.001", _VALUES, _KERNEL, faults.value(_KERNEL, lambda v: v * np.float32(1.001)), _INFERENCE
        ),
        Wrong(
            "a kernel transposed",
            _VALUES,
            _KERNEL,
            faults.value(_KERNEL, lambda v: v.transpose(0, 1, 3, 2)),
            _INFERENCE,
        ),
        Wrong(
            "padding counted in average pools",
            _END_POINTS,
            "Stem",
            faults.argument("avg_pool2d.default", "count_include_pad", as_bool=True),
            _INFERENCE,
        ),
        Wrong(
            "epsilon 1e-5", _END_POINTS, "Stem", faults.argument("batch_norm.default", "eps", as_float=1e-5), _INFERENCE
        ),
        Wrong("the odd pixel of padding before", _END_POINTS, "Stem", faults.program(faults.early_padding), _INFERENCE),
        Wrong("images not rescaled", _END_POINTS, "Stem", faults.argument("mul.Tensor", "other", as_int=1), _INFERENCE),
        Wrong("a parameter that is none", _RUNS, "conv0.weights", faults.listing(_KERNEL, is_param=False)),
        Wrong(
            "two end points swapped",
            _END_POINTS,
            "Cell_0",
            faults.usage(
                lambda said: said["end_points"].update(
                    Cell_0=said["end_points"]["Cell_1"], Cell_1=said["end_points"]["Cell_0"]
                )
            ),
        ),
        Wrong(
            "another central crop",
            _PROPERTIES,
            "preprocessing",
            faults.usage(lambda said: said["preprocessing"].update(central_crop=0.9)),
        ),
        Wrong("a value as a pickle", _RUNS, "is a pickle", faults.listing(_KERNEL, use_pickle=True)),
        Wrong("sample inputs", _RUNS, "may be a pickle", faults.entry("data/sample_inputs/other.pt", b"x")),
        Wrong("a condition", _RUNS, "is Python", faults.program(lambda said: said.update(guards_code=["exit()"]))),
        Wrong(
            "an operation that reads files",
            _RUNS,
            "from_file",
            faults.program(
                lambda said: said["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.aten.from_file.default")
            ),
        ),
        Wrong(
            "an entry that is cut off",
            _RUNS,
            "weight_0",
            faults.rewritten(lambda held, root: held.update({f"{root}data/weights/weight_0": b"1234"})),
        ),
    ),
}


@pytest.mark.breaks
@pytest.mark.parametrize("format_", list(WRONG))
def test_a_break_is_caught_by_the_check_that_names_it(
    torch: Command, make: Callable[[str], Made], format_: str, tmp_path: Path
) -> None:
    made = make(format_)
    for number, wrong in enumerate(WRONG[format_]):
        folder = tmp_path / str(number)
        shutil.copytree(made.artifact, folder)
        wrong.change(folder)
    folders = [tmp_path / str(number) for number in range(len(WRONG[format_]))]
    result = torch("verify", *folders, "--checkpoint", made.checkpoint, "--json")
    assert result.returncode == 1, result.stderr
    for wrong, report in zip(WRONG[format_], json.loads(result.stdout), strict=True):
        failed = {check["name"]: check["detail"] for check in report["checks"] if not check["passed"]}
        assert wrong.check in failed, (wrong.what, failed)
        assert wrong.said in failed[wrong.check], (wrong.what, failed)
        others = [name for name in failed if name != wrong.check and not name.startswith(wrong.also or ("none",))]
        assert others == [], (wrong.what, failed)
