"""The model pages: their facts, their links, what hostile text does, and the programs on them, which are run."""

import dataclasses
import functools
import hashlib
import http.server
import json
import posixpath
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from PIL import Image

from exporter.artifact.metadata import Tool
from exporter.artifact.options import ArtifactOptions
from exporter.files.hashing import File
from exporter.models import variables as layout
from exporter.models.classes import class_names
from exporter.models.config import TASKS, ModelConfig, Task, handle, model
from exporter.models.formats import FORMATS
from exporter.release import model_page, model_page_html
from exporter.release.families import FAMILY_TEXTS
from exporter.release.manifest import CheckFacts, PageLinks, Place
from exporter.report import templates
from tests.support import browser, environments, pictures, records, small_release
from tests.support.command import artifact_folder
from tests.support.html_pages import Reader
from tests.support.reading import FOR_TINY_NETWORKS

ARXIV = {"nasnet": ["1611.01578", "1707.07012"], "pnasnet": ["1712.00559", "1707.07012"]}
HOSTILE = (
    "<script>alert(1)</script> | `a` **b** [c](http://d.example) ![e](http://f.example) \n# g\n\n---\n\\| <!-- -->"
)


def _of(artifact: tuple[ModelConfig, Task, int]) -> str:
    return "/".join([artifact[0].name, *map(str, artifact[1:])])


@pytest.fixture(params=records.ARTIFACTS, ids=_of)
def artifact(request: pytest.FixtureRequest) -> tuple[ModelConfig, Task, int]:
    return request.param


def _read(subject: model_page.PageFacts, released: Collection[str] = ()) -> Reader:
    """The page as a browser has it."""
    return Reader(model_page_html.html(subject, released))


def _links(page: Reader) -> list[str]:
    return [own["href"] for own in page.having("a")]


def _programs(text: str, language: str = "python") -> list[str]:
    tokens = MarkdownIt("commonmark").parse(text)
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


def test_facts_are_those_of_the_configuration(artifact: tuple[ModelConfig, Task, int]) -> None:
    config, task, version = artifact
    text = model_page.markdown(records.subject(*artifact), records.HANDLES)
    page = _read(records.subject(*artifact), records.HANDLES)
    for fact in (
        handle(*artifact),
        config.title,
        f"format {config.format_spec(version).title}",
        f"float32, [batch, {config.image_size}, {config.image_size}, 3]",
        f"parameters {layout.parameters(config, task):,} ",
        f"{config.num_cells} normal cells" if config.family == "nasnet" else f"{config.num_cells} cells",
        f"{config.num_conv_filters} filters",
        f"archive {config.checkpoint} ,",
        f"keeps a branch with probability {config.drop_path_keep_prob},",
        f"weight {config.weight_decay},",
        f"averages keep {0.99 if version >= 3 else 0.9997} of",
        "sha256 " + "a1" * 32,
        "model.ckpt.index, sha256 " + "b2" * 32,
        "tensorflow 2.21.0",
        "nasexport 1.2.3",
        "87,654,321 bytes; 76,543,210 packed",
        "d4" * 32 + f"  {version}.tar.gz",
        "output, relative difference 1.23e-05 0.0001",
        "All 2 checks passed",
    ):
        assert " ".join(fact.split()) in page.text, fact
    assert config.accuracy
    for name, value in config.accuracy.items():
        assert f"{name.replace('_', '-')} {value} %" in page.text
    size = {"classification": config.num_classes, "feature_vector": layout.features(config)}[task]
    assert f"output float32, [batch, {size}]" in page.text
    assert ("overfitting" in page.text) == (task == "classification")
    assert ("imagenet_labels.txt" in text) == (task == "classification")

    facts = dict(re.findall(r"^<!-- ([a-z-]+): (.+) -->$", text, re.MULTILINE))
    assert facts == {
        "dataset": "ImageNet (ILSVRC-2012-CLS)",
        "fine-tunable": "true",
        "format": config.versions[version],
        "module-type": f"image-{task.replace('_', '-')}",
        "network-architecture": config.title,
    }
    arxiv = [link.removeprefix("https://arxiv.org/abs/") for link in _links(page) if "arxiv" in link]
    assert arxiv == ARXIV[config.family]
    shown = [int(number) for number in re.findall(r"^### Version (\d+)$", text, re.MULTILINE)]
    assert shown == [number for number in config.versions if number <= version]
    assert not re.search(r"/tmp|/home|20[2-9]\d-", text)


def test_readers_are_those_of_the_published_pages(artifact: tuple[ModelConfig, Task, int]) -> None:
    *_, version = artifact
    page = _read(records.subject(*artifact))
    assert ("TensorFlow 2 (or 1.15) with tensorflow-hub 0.5.0 or newer" in page.text) == (version >= 4)
    assert ("readers hub.Module : TensorFlow 1" in page.text) == (version < 4)
    assert ("tensorflow-hub 0.2.0 to 0.15" in page.text) == (version == 3)
    programs = "\n".join(_programs(model_page.markdown(records.subject(*artifact), ())))
    assert ("hub.Module" in programs) == (version < 4)
    assert ("batch_norm_momentum=0.997" in programs) == (version >= 3)
    assert ("serving_default" in programs and "persistent=True" in programs) == (version == 5)


def test_every_link_leads_to_a_file_of_the_release(artifact: tuple[ModelConfig, Task, int]) -> None:
    subject = records.subject(*artifact)
    places = [Place(other) for other in records.HANDLES]
    files = {path for place in places for path in (place.page, place.page_html, place.report, place.archive)}
    files |= {"index.html", "imagenet_labels.txt"} | {place.record for place in places}
    text = model_page.markdown(subject, records.HANDLES)
    folder = posixpath.dirname(subject.place.page)
    in_markdown = [address for address in re.findall(r"\]\(([^)]+)\)", text) if ":" not in address]
    in_html = [address for address in _links(_read(subject, records.HANDLES)) if ":" not in address]
    targets = [posixpath.normpath(posixpath.join(folder, unquote(address))) for address in in_markdown]
    assert set(targets) <= files
    assert {subject.place.report, subject.place.archive, subject.place.record, "index.html"} <= set(targets)
    same = [posixpath.normpath(posixpath.join(folder, address.partition("#")[0])) for address in in_html]
    assert set(same) == {re.sub(r"\.md$", ".html", target) for target in targets}
    assert len(same) > len(targets) > 4
    # Each other artifact of the model, of both tasks, is a link on both.
    own = {place.page for place in places if f"/{subject.config.name}/" in place.handle} - {subject.place.page}
    assert own <= set(targets)
    # What is not in the release is named, not linked.
    alone = model_page.markdown(subject, [subject.place.handle])
    assert not re.search(r"\]\((?!https:)[^)]*\.md\)", alone)
    other: Task = "feature_vector" if subject.task == "classification" else "classification"
    assert handle(subject.config, other, subject.version) in alone


def test_synthetic_weights_are_told_loudly() -> None:
    artifact = records.ARTIFACTS[0]
    subject = records.subject(*artifact, source=records.source(synthetic=records.SYNTHETIC))
    text = model_page.markdown(subject, ())
    page = _read(subject)
    assert text.index("SYNTHETIC WEIGHTS.") < text.index("##")
    assert page.having("blockquote")
    assert "made up (layout plain, model some_model, seed 0)" in page.text
    assert "This artifact was not made from them" in page.text
    assert "<!-- dataset: none, the weights are synthetic -->" in text
    published = model_page.markdown(records.subject(*artifact), ())
    assert "synthetic" not in published.lower() + _read(records.subject(*artifact)).text.lower()


def test_a_failed_check_and_one_without_a_figure_are_told() -> None:
    check = CheckFacts("loads", None, 0, "", False)
    subject = records.subject(*records.ARTIFACTS[0], checks=[*records.CHECKS, check])
    page = _read(subject)
    assert "Verified 1 of 3 checks FAILED : report" in page.text
    assert "1 of 3 checks FAILED." in page.text and "passed" not in page.text.split("How this artifact")[1]
    assert "loads not measured FAILED 0" in page.text


def test_a_network_of_ones_own_has_a_page(tiny: Path) -> None:
    config = replace(model(str(tiny)), versions={1: "hub", 5: "saved_model_2", 7: "saved_model_2"})
    page = _read(records.subject(config, "classification", 7))
    assert "one of 11 classes" in page.text
    assert "nothing was published of it" in page.text
    assert "ImageNet " not in page.text.split("Training")[1] and "published accuracy" not in page.text


def test_same_facts_give_the_same_bytes() -> None:
    artifact = records.ARTIFACTS[3]
    backwards = records.source(files=dict(reversed(records.SOURCE.files.items())))
    texts = [
        model_page.markdown(records.subject(*artifact, source=source), released)
        for source, released in ((records.SOURCE, records.HANDLES), (backwards, sorted(records.HANDLES)))
    ]
    assert texts[0] == texts[1]
    assert texts[0].endswith("\n") and "\n\n\n" not in texts[0] and " \n" not in texts[0]
    # Of other models, a page knows nothing.
    name = artifact[0].name
    own = [other for other in records.HANDLES if f"/{name}/" in other]
    assert model_page.markdown(records.subject(*artifact), own) == texts[0]
    pages = [
        model_page_html.html(records.subject(*artifact, source=source), released)
        for source, released in ((records.SOURCE, records.HANDLES), (backwards, own))
    ]
    assert pages[0] == pages[1]


def _hostile(text: str) -> model_page.PageFacts:
    config, task, version = records.ARTIFACTS[3]
    config = replace(config, title=text, checkpoint=text)
    source = records.source(archive=text, files={text: text}, layout=text, synthetic={text: text})
    check = CheckFacts(text, 1.0, 2.0, text, True)
    return records.subject(config, task, version, source=source, checks=[check], tool=Tool(text, text))


#: The page's own elements, which no text from outside may add to.
@functools.cache
def _elements() -> list[tuple[str, dict[str, str]]]:
    return _read(_hostile("word"), records.HANDLES).elements


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30) | st.text("`|\\<>&*_[]()!#-~ \n\ta", min_size=1, max_size=20))
def test_text_from_outside_is_never_markup(text: str) -> None:
    if not templates.visible(text).strip():
        text += "x"
    subject = _hostile(text)
    page = _read(subject, records.HANDLES)
    assert page.elements == _elements()
    # It is shown as it is, with what is invisible written out.
    expected = " ".join(templates.visible(text).split())
    cells = page.text.split("where it comes from")[1]
    assert " ".join(f"checkpoint archive {templates.visible(text)}, sha256".split()) in cells
    assert page.text.count(expected) >= 10


def test_hostile_text_is_shown_and_does_nothing() -> None:
    written = model_page.markdown(_hostile(HOSTILE), ())
    page = _read(_hostile(HOSTILE))
    assert templates.visible(HOSTILE).replace("  ", " ") in page.text
    names = {name for name, _ in page.elements}
    assert not names & {"script", "img", "iframe", "base", "form", "object"}
    assert not [address for address in _links(page) if ".example" in address]
    comments = re.findall(r"<!--.*?-->", written.split("# ")[1], re.DOTALL)
    assert all(re.fullmatch(r"<!-- [a-z-]+: .*[^-] -->", comment) for comment in comments[:5])
    # HTML in Markdown from elsewhere stays text.
    elsewhere = Reader(model_page_html.rendered("# a\n\n<script>1</script>\n\n[x](javascript:1)\n"))
    assert "script" not in {name for name, _ in elsewhere.elements}


def test_the_page_needs_nothing_else() -> None:
    text = model_page_html.html(records.subject(*records.ARTIFACTS[0]), records.HANDLES)
    page = Reader(text)
    assert [own["href"] for own in page.having("link")] == ["data:,"]
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not re.search(r"url\(|@import|<script|src=", text)
    assert "<!-- " not in page.text
    assert page.text.startswith(handle(*records.ARTIFACTS[0]))


# The top of the page, and what it is for.


def test_what_is_downloaded_and_what_it_is_called_comes_first(artifact: tuple[ModelConfig, Task, int]) -> None:
    _, task, version = artifact
    page = _read(records.subject(*artifact), records.HANDLES)
    top = page.text.split("Load it")[0]
    assert "Download 77 MB .tar.gz" in top
    for fact in (
        f"{records.HUB}/{handle(*artifact)} ",
        "d4" * 32,
        "Licence Apache-2.0 , that of",
        "all 2 checks passed",
    ):
        assert fact in top, fact
    (download,) = page.having("a", **{"class": "download"})
    assert download["href"] == f"{version}.tar.gz"
    # What there is to copy is selected whole by a click, without a script.
    assert len([own for tag, own in page.elements if tag == "code" and "copy" in own.get("class", "")]) == 3
    # Which artifact of which task this is, among the others.
    assert len(page.having("strong", **{"aria-current": "page"})) == 1
    assert re.search(rf"{task.replace('_', ' ')} [A-Z].*{version}", top)


@pytest.mark.parametrize(("size", "shown"), [(1_356_543_210, "1,357 MB"), (4_160_000, "4.2 MB"), (9, "0.1 MB")])
def test_sizes_are_in_megabytes(size: int, shown: str) -> None:
    archive = File(f"{handle(*records.ARTIFACTS[0])}.tar.gz", size, "d4" * 32)
    subject = records.subject(*records.ARTIFACTS[0], archive=archive)
    assert f"Download {shown} .tar.gz" in _read(subject).text
    assert f"[{shown}](1.tar.gz)" in model_page.markdown(subject, ())


def test_the_licence_is_told_where_it_is_known(tiny: Path) -> None:
    own = _read(records.subject(model(str(tiny)), "classification", 5)).text
    assert "Licence not known" in own
    synthetic = records.source(synthetic=records.SYNTHETIC)
    assert (
        "Licence none: the weights are made up" in _read(records.subject(*records.ARTIFACTS[0], source=synthetic)).text
    )


def test_each_framework_has_a_tab_with_its_program(artifact: tuple[ModelConfig, Task, int]) -> None:
    config, task, version = artifact
    released = {handle(config, of, each) for of in TASKS for each in config.all_versions}
    page = model_page_html.html(records.subject(*artifact), released)
    tabs = re.findall(
        r'<details class="tab" name="load"( open)?>\n<summary>([^<]*)</summary>(.*?)</details>', page, re.S
    )
    own = config.format_spec(version).framework
    frameworks = [FORMATS[name].framework for name in dict.fromkeys(config.all_versions.values())]
    assert [bool(opened) for opened, *_ in tabs] == [True] + [False] * (len(frameworks) - 1)
    assert sorted(title for _, title, _ in tabs) == sorted(frameworks) and tabs[0][1] == own
    for opened, title, content in tabs:
        assert f'HUB = "{records.HUB}"' in content
        linked = re.search(r'<a href="\.\./(\w+)/(\w+)\.html">(.*?)</a>', content)
        newest = [each for each, name in config.all_versions.items() if FORMATS[name].framework == title][-1]
        assert bool(opened) == (linked is None)
        assert linked is None or linked[3] == handle(config, task, newest)
        assert f"/{linked[3] if linked else handle(*artifact)}" in content.split("<pre>")[1]
    alone = model_page_html.html(records.subject(*artifact), [handle(*artifact)])
    assert alone.count('<details class="tab"') == 1


def test_programs_load_from_the_address_of_the_release(artifact: tuple[ModelConfig, Task, int]) -> None:
    url = "https://models.example.org/nasnet"
    subject = records.subject(*artifact, links=PageLinks(url, ()))
    for text in model_page_html.pages(subject):
        assert url in text and records.HUB not in text
    (written, shown) = model_page_html.pages(subject)
    assert f'ADDRESS = HUB + "/{handle(*artifact)}.tar.gz"' in written
    assert f"{url}/{handle(*artifact)}.tar.gz " in Reader(shown).text.split("Load it")[0]


def test_the_cells_are_drawn(artifact: tuple[ModelConfig, Task, int]) -> None:
    page = _read(records.subject(*artifact))
    drawn = page.having("svg", **{"class": "cells", "role": "img"})
    assert len(drawn) == (3 if artifact[0].family == "nasnet" else 2)
    ids = [own["id"] for _, own in page.elements if "id" in own]
    assert len(ids) == len(set(ids))


def test_checks_are_folded_and_the_report_is_a_link() -> None:
    page = model_page_html.html(records.subject(*records.ARTIFACTS[0]), ())
    (folded,) = re.findall(
        r"<details>\n<summary>The 2 checks, with what was measured</summary>(.*?)</details>", page, re.S
    )
    assert "output, relative difference" in folded and "output, relative" not in page.replace(folded, "")
    assert page.count('href="1.report.html"') == 2


def test_papers_are_cited_with_all_their_authors(artifact: tuple[ModelConfig, Task, int]) -> None:
    text = model_page.markdown(records.subject(*artifact), ())
    (entries,) = _programs(text, "bibtex")
    found = re.findall(
        r"@misc\{\w+,\n  title = \{(.*)\},\n  author = \{(.*)\},\n  year = \{(\d+)\},\n  eprint", entries
    )
    papers = FAMILY_TEXTS[artifact[0].family].papers
    assert [(title, authors.split(" and ")) for title, authors, _ in found] == [(p.title, [*p.authors]) for p in papers]
    assert re.findall(r"eprint = \{(.*)\}", entries) == ARXIV[artifact[0].family]
    assert "J. Shlens, Q. V. Le, 2017: [Learning" in text
    assert ("L.-J. Li, L. Fei-Fei" in text) == (artifact[0].family == "pnasnet")


def test_the_page_in_markdown_is_a_card_for_hugging_face(artifact: tuple[ModelConfig, Task, int]) -> None:
    config, task, _ = artifact
    text = model_page.markdown(records.subject(*artifact), ())
    begin, fields, rest = text.split("---\n", 2)
    assert begin == "" and rest.startswith("\n# ")
    assert yaml.safe_load(fields) == {
        "license": "apache-2.0",
        "library_name": "tensorflow",
        "pipeline_tag": "image-classification" if task == "classification" else "image-feature-extraction",
        "tags": [config.family, config.name.replace("_", "-"), "tensorflow"],
        "datasets": ["imagenet-1k"],
        **({"metrics": ["accuracy"]} if task == "classification" else {}),
    }
    assert "pipeline_tag" not in _read(records.subject(*artifact)).text


def test_a_card_says_nothing_of_published_weights_where_there_are_none(tiny: Path) -> None:
    synthetic = records.source(synthetic=records.SYNTHETIC)
    own = records.subject(model(str(tiny)), "classification", 5)
    for subject in (records.subject(*records.ARTIFACTS[0], source=synthetic), own):
        fields = yaml.safe_load(model_page.markdown(subject, ()).split("---\n")[1])
        assert fields["license"] == "unknown" and not {"datasets", "metrics"} & set(fields)
        assert ("synthetic-weights" in fields["tags"]) == (subject is not own)


# The programs.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Runs a program as a user would, who pasted it together from a page."""

    def run(python: Path, program: str) -> None:
        folder = tmp_path_factory.mktemp("program")
        (folder / "program.py").write_text(program, encoding="utf-8")
        pictures.written(folder / "picture.jpg", pictures.picture(0), kind="JPEG")
        variables = {**environments.clean_variables(), **FOR_TINY_NETWORKS, "TF_CPP_MIN_LOG_LEVEL": "2"}
        variables["TFHUB_CACHE_DIR"] = str(folder / "cache")
        command = [str(python), "program.py"]
        result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{program}\n{result.stderr[-4000:]}"

    return run


def _program(config: ModelConfig, task: Task, version: int, hub: object, *checks: str) -> str:
    programs = _programs(model_page.markdown(records.subject(config, task, version), ()))
    return "\n".join([*programs, *checks]).replace(records.HUB, str(hub))


def _size(config: ModelConfig, task: Task) -> int:
    return config.num_classes if task == "classification" else layout.features(config)


def _checks(config: ModelConfig, task: Task) -> tuple[str, ...]:
    """What must hold at the end of a program for TensorFlow 2."""
    return (
        f"assert model(images).shape == (2, {_size(config, task)})",
        "assert network.predict(images).shape[0] == 2",
        "assert gradients and all(gradient is not None for gradient in gradients)",
        "assert float(layer.resolved_object.regularization_losses[0]()) > 0",
    )


#: Runs the programs for a picture with a network that is none, keeps what it was given, and prints what they print.
_WITH_A_PICTURE = """
import json, types
import numpy as np, tensorflow as tf

given, logits = {}, np.zeros((1, 1001), np.float32)
logits[0, [208, 3, 1000, 7, 1]] = 9, 8, 7, 6, 5

def network(inputs, name):
    given[name] = np.asarray(inputs)
    return logits

for name, program in json.load(open("programs.json")).items():
    model = lambda inputs, name=name: network(inputs, name)
    if name == "litert":
        model = lambda inputs, name=name: {"logits": network(inputs, name)}
    if name == "keras":
        model = types.SimpleNamespace(predict=model)
    run = lambda outputs, inputs, name=name: [network(inputs["inputs"], name)]
    labels = [str(index) for index in range(1001)]
    exec(program, dict(model=model, session=types.SimpleNamespace(run=run), np=np, tf=tf, labels=labels, HUB=HUB))
np.savez("given.npz", **given)
"""


@pytest.mark.long
def test_a_picture_goes_in_and_names_come_out(tmp_path: Path) -> None:
    """As ImageNet's networks have it: the pages of those above have classes without names."""
    config = model("nasnet_mobile")
    programs = {}
    for version, name in ((4, "saved_model_2"), ("onnx", "onnx"), ("keras", "keras"), ("litert", "litert")):
        options = ArtifactOptions(config.version_spec(version).momentum)
        subject = dataclasses.replace(records.subject(config, "classification", 4, options=options), version=version)
        after = model_page.markdown(subject, ()).split("### A picture in, its classes out")[1]
        programs[name] = _programs(after)[0]
    (tmp_path / "programs.json").write_text(json.dumps(programs))
    (tmp_path / "imagenet_labels.txt").write_text("".join(f"{known.name}\n" for known in class_names()))
    pictures.written(tmp_path / "picture.jpg", pictures.picture(0, 300, 400), kind="JPEG", quality=95)
    (tmp_path / "program.py").write_text(f"HUB = {tmp_path.as_uri()!r}\n{_WITH_A_PICTURE}")
    command = [str(environments.current()), "program.py"]
    variables = {**environments.clean_variables(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    lines = result.stdout.splitlines()
    assert len(lines) == 4 * 5
    shares = [line.split(" ")[0] for line in lines]
    assert shares == shares[:5] * 4 and shares[0] > shares[4]
    assert [line.split(" ", 1)[1] for line in lines[:5]] == [class_names()[at].name for at in (208, 3, 1000, 7, 1)]
    assert [line.split(" ", 1)[1] for line in lines[5:10]] == ["208", "3", "1000", "7", "1"]
    pixels = np.asarray(Image.open(tmp_path / "picture.jpg").convert("RGB"))
    expected = pictures.network_input(pixels, config.image_size)
    with np.load(tmp_path / "given.npz") as given:
        for name in programs:
            assert given[name].shape == (1, 224, 224, 3) and given[name].dtype == np.float32
            # Decoders of JPEG differ by some levels, and Pillow smooths.
            apart = np.abs(given[name][0] - expected)
            assert apart.max() < (0.03 if name == "saved_model_2" else 0.2) and apart.mean() < 0.02, name


# Each page is run once, in one reader or the other.
@pytest.mark.long
@pytest.mark.parametrize(
    ("task", "version"),
    [
        # That of version 5 asks a persistent tape as well.
        pytest.param("classification", 5, marks=pytest.mark.readers),
        pytest.param("feature_vector", 5, marks=pytest.mark.readers),
        ("feature_vector", 4),
    ],
)
def test_programs_of_saved_models_run(
    run: Callable[..., None], released: tuple[Path, object], task: Task, version: int
) -> None:
    config = small_release.config("small_nasnet")
    program = _program(config, task, version, released[0], *_checks(config, task))
    assert program.count("hub.KerasLayer(") == 2 and ("TFSMLayer" in program) == (version == 5)
    run(environments.current(), program)


@pytest.mark.readers
def test_programs_of_saved_models_run_in_tensorflow_1_15(
    run: Callable[..., None], tiny: Path, tiny_artifacts: Path
) -> None:
    """As the page says: with version 2's behaviour, and with TensorFlow's own Keras."""
    config, task, version = model(str(tiny)), TASKS[0], 4
    program = _program(config, task, version, tiny_artifacts, *_checks(config, task))
    program, changed = re.subn(r"import tf_keras  # before TensorFlow 2.16: (.*)", r"\1", program)
    assert changed == 1
    begin = "import tensorflow\ntensorflow.compat.v1.enable_v2_behavior()\n"
    run(environments.old(), begin + program)


@pytest.mark.parametrize(
    ("reader", "task", "version"),
    [
        (environments.old, "classification", 1),
        (environments.old, "feature_vector", 1),
        (environments.old, "classification", 3),
        (environments.last_with_hub_module, "feature_vector", 3),
    ],
)
def test_programs_of_hub_modules_run(
    run: Callable[..., None], tiny: Path, hub_modules: Path, reader: Callable[[], Path], task: Task, version: int
) -> None:
    config = model(str(tiny))
    ends = layout.end_points(config)[: None if task == "classification" else -2]
    named = sorted(["default", *(f"{config.name}/{name}" for name in ends)])
    written = model_page.markdown(records.subject(config, task, version), ())
    assert ", ".join(f"`{name}`" for name in ends) in " ".join(written.split())
    program = _program(
        config,
        task,
        version,
        hub_modules,
        "assert (height, width) == (64, 64)",
        f"assert sorted(outputs) == {named}, sorted(outputs)",
        f"assert stem.shape.as_list()[1:3] == [{config.image_size // 8}] * 2, stem",
        "assert len(updates) > 0",
    )
    # What the first program prints, checked as well.
    output = {"classification": "logits", "feature_vector": "features"}[task]
    printed = f"print(session.run({output}"
    assert program.count(printed) == 1
    shape = f"shown = (2, {_size(config, task)}); assert shown == np.shape(session.run({output}"
    program = program.replace(printed, shape)
    run(reader(), "import numpy as np\n" + program)


@pytest.fixture
def server(tiny: Path, tiny_artifacts: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a web server that knows of files alone, as any does; it has one artifact, packed."""
    name = artifact_folder(Path(), "tiny_nasnet", "feature_vector", 5)
    archive = tmp_path / f"{name}.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted((tiny_artifacts / name).iterdir()):
            file.add(path, path.name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as own:
        thread = threading.Thread(target=own.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{own.server_port}"
        own.shutdown()
        thread.join()


@pytest.mark.parametrize("reader", [environments.current, environments.old])
def test_any_web_server_does_where_the_address_ends_in_tar_gz(
    run: Callable[..., None], tiny: Path, server: str, reader: Callable[[], Path]
) -> None:
    written = model_page.markdown(records.subject(model(str(tiny)), "feature_vector", 5), ())
    assert "`ADDRESS` must end in `.tar.gz`" in written
    first = _programs(written)[0].replace(records.HUB, server).replace('vector/5"', 'vector/5.tar.gz"')
    begin = "import tensorflow\ntensorflow.compat.v1.enable_v2_behavior()\n"
    run(reader(), f"{begin}{first}\nassert features.shape[0] == 2")


def test_the_command_that_checks_a_download_does(tmp_path: Path) -> None:
    (tmp_path / "4.tar.gz").write_bytes(b"bytes")
    digest = hashlib.sha256(b"bytes").hexdigest()
    config, task, _ = records.ARTIFACTS[0]
    for found, status in ((digest, 0), ("0" * 64, 1)):
        archive = File("google/imagenet/nasnet_large/classification/4.tar.gz", 5, found)
        (command,) = _programs(model_page.markdown(records.subject(config, task, 4, archive=archive), ()), "sh")
        result = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
        assert result.returncode == status


# The look.


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with long words where they can be."""
    path = tmp_path_factory.mktemp("shown") / "page.html"
    path.write_text(model_page_html.html(_hostile("long_" * 30), records.HANDLES), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_all_of_it(tab: browser.Page, shown: Path, width: int, scheme: str) -> None:
    tab.open(shown, width, media={"prefers-color-scheme": scheme})
    browser.fits(tab, width)
    assert set(tab.requests) == {shown.as_uri()}
    assert "SYNTHETIC WEIGHTS." in tab.evaluate("document.body.innerText")
    assert browser.is_dark(tab) == (scheme == "dark")


@pytest.mark.parametrize("width", [390, 1280])
def test_one_tab_at_a_time_is_open_without_a_script(tab: browser.Page, tmp_path: Path, width: int) -> None:
    config = model("nasnet_large")
    released = [handle(config, "classification", version) for version in config.all_versions]
    path = tmp_path / "page.html"
    path.write_text(model_page_html.html(records.subject(config, "classification", 4), released), encoding="utf-8")
    tab.open(path, width)
    tabs = "[...document.querySelectorAll('.tab')]"
    shown = f"{tabs}.filter(t => t.querySelector('pre').checkVisibility({{contentVisibilityAuto: true}}))"
    named = f"{shown}.map(t => t.querySelector('summary').textContent)"
    assert tab.evaluate(named) == ["TensorFlow 2"]
    tab.evaluate(f"{tabs}[2].querySelector('summary').click()")
    (opened,) = tab.evaluate(named)
    assert opened != "TensorFlow 2"
    browser.fits(tab, width)
    # Side by side where there is room, one below the other where there is not.
    tops = set(tab.evaluate("[...document.querySelectorAll('.tab > summary')].map(s => s.getBoundingClientRect().top)"))
    assert len(tops) == (1 if width == 1280 else 7)


def test_it_prints_on_a4(tab: browser.Page, shown: Path) -> None:
    tab.open(shown)
    sizes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", tab.pdf())
    assert sizes and all(abs(float(x) - 595) < 1.5 and abs(float(y) - 842) < 1.5 for x, y in sizes)
    # No row of a table, such as that of the accuracy, is alone on a sheet.
    tab.open(shown, kind="print")
    kept = """[...document.querySelectorAll('tbody')].filter(body => body.rows.length > 1).map(body => [
        getComputedStyle(body.rows[0]).breakAfter, getComputedStyle(body.rows[body.rows.length - 1]).breakBefore])"""
    found = tab.evaluate(kept)
    assert len(found) > 2 and all(each == ["avoid", "avoid"] for each in found)
