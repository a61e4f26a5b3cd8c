"""The README and the pages of ``docs/``: their links, the commands they name, their words; and their programs run."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.models.cells import FAMILIES, Branch
from exporter.models.config import models
from scripts import draw_networks
from tests.support import environments, pages, pictures
from tests.support.calls import calls, require_known
from tests.support.command import CHECKOUT, Result, artifact_folder
from tests.support.pages import DOCS, README
from tests.support.shared import Store
from tests.support.shell import Shell, mirror

PAGES = pages.pages()
#: The pages that a reader begins with, and that others go on from.
FIRST = DOCS / "tutorials" / "first-artifact.md"
TENSORFLOW_1 = DOCS / "tutorials" / "fine-tune-tf1.md"
#: A reader of these has a release, or pictures of their own.
OLD_HANDLES, IMAGES = DOCS / "how-to" / "old-handles.md", DOCS / "how-to" / "images.md"
#: It is small enough for `make test`.
QUICK = DOCS / "how-to" / "add-a-model.md"


def _name(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def _prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"(?ms)^(```+|:::+).*?^\1$", "", page.read_text(encoding="utf-8"))


# What a page says.


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, _, heading in re.findall(r"\]\(([^)#\s]*)(#([^)\s]+))?\)", _prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), target
        if heading and path.suffix == ".md":
            titles = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
            assert heading in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "index.md"], ids=_name)
def test_every_page_is_listed_by_the_index_of_its_folder(page: Path) -> None:
    if page != README:
        listed = (page.parent / "index.md").read_text(encoding="utf-8")
        assert f"({page.name})" in listed


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_are_those_that_there_are(page: Path) -> None:
    """Those in blocks, also in such that do not run, and those within the text."""
    for block in pages.blocks(page):
        assert block.language in pages.PROGRAMS | pages.DATA, block.where
        assert set(block.marks) <= pages.MARKS, block.where
        if block.language in ("sh", "console"):
            for arguments in calls(block.commands):
                require_known(arguments)
    for text in re.findall(r"`(nasexport [^`]+)`", _prose(page)):
        for arguments in calls(" ".join(text.split())):
            require_known(arguments)


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", [README, DOCS / "explanation" / "networks.md"], ids=_name)
def test_table_of_models_is_that_of_the_configurations(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, config in models().items():
        assert config.accuracy
        row = re.findall(rf"(?m)^\| `{name}` \|.*$", text)[0]
        assert f"| {config.image_size} x {config.image_size} |" in row
        assert "| {top_1} / {top_5} |".format(**config.accuracy) in row
        assert f"| `{config.checkpoint}` |" in row


def test_table_of_cells_is_that_of_the_networks() -> None:
    def told(branch: Branch) -> str:
        size = f"{branch.kernel}x{branch.kernel}"
        return f"state {branch.state}" if branch.kind == "none" else f"{branch.kind} {size} of {branch.state}"

    text = (DOCS / "explanation" / "networks.md").read_text(encoding="utf-8")
    cells = [FAMILIES["nasnet"].normal, FAMILIES["nasnet"].reduction, FAMILIES["pnasnet"].normal]
    for number in range(5):
        sums = (" + ".join(map(told, cell.combinations[number])) for cell in cells)
        assert f"| state {number + 2} | {' | '.join(sums)} |" in text
    outputs = (", ".join(map(str, cell.concatenated)) for cell in cells)
    assert f"| output | {' | '.join(outputs)} |" in text


def test_drawings_are_those_of_the_networks() -> None:
    for name, text in draw_networks.pictures().items():
        written = (DOCS / "images" / name).read_text(encoding="utf-8")
        assert written == text, "run python -m scripts.draw_networks"
    # Each has a line above it that says what it shows, as no drawing does.
    page = (DOCS / "explanation" / "networks.md").read_text(encoding="utf-8")
    assert len(re.findall(r"(?m)^.+:\n\n!\[", page)) == page.count("![") == 5


def test_checks_are_listed_by_their_names() -> None:
    """Each name of a check that is a constant in the code."""
    source = "".join(path.read_text("utf-8") for path in sorted((CHECKOUT / "exporter" / "verification").glob("*.py")))
    names = set(re.findall(r"""\b(?:Check|count)\(\s*"([^"]+)\"""", source))
    assert len(names) > 30
    text = (DOCS / "reference" / "checks.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"| {name} |" not in text] == []


def test_words_are_kept_to() -> None:
    """The third column of the list of words has those that the pages do without."""
    words = DOCS / "reference" / "words.md"
    rows = re.findall(r"(?m)^\| ([^|]+) \| [^|]+ \| ([^|]*) ?\|$", words.read_text(encoding="utf-8"))[1:]
    others = [word for _, listed in rows for word in listed.strip().split(", ") if word]
    assert len(others) > 15
    for page in PAGES:
        if page != words:
            text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", _prose(page))
            found = [word for word in others if re.search(rf"(?i)\b{re.escape(word)}s?\b", text)]
            assert found == [], page


# Its programs.


def _runnable(page: Path) -> bool:
    return any(block.runs for block in pages.blocks(page))


def test_every_program_runs_or_says_why_it_does_not() -> None:
    """Of a page that is run, all blocks are, but those that say why not."""
    found = [block for page in PAGES for block in pages.blocks(page) if block.language in pages.PROGRAMS]
    assert len([block for block in found if block.runs]) > 35
    assert [block.where for block in found if not block.runs and len(block.marks["not run"]) < 10] == []


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, kept: Store) -> Callable[[], Shell]:
    """Makes a shell in a folder of its own."""
    return lambda: Shell(tmp_path_factory.mktemp("shell"), kept)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, kept: Store) -> dict[str, str]:
    """Variables with which there are archives to fetch, in the place of the published ones."""
    folder = mirror(tmp_path_factory.mktemp("mirror"), kept)
    return {"NASEXPORT_MIRROR": str(folder), "NASEXPORT_OFFLINE": "1"}


@pytest.fixture(scope="module")
def begun(shell: Callable[[], Shell], of_this_run: Store) -> Path:
    """The folder of a reader who has done all of the first tutorial."""

    def make(folder: Path) -> None:
        own = shell()
        _succeeded(own.run(pages.program(FIRST)))
        shutil.copytree(own.command.cwd, folder, dirs_exist_ok=True)

    return of_this_run.made("first tutorial", make)


def _succeeded(result: Result) -> None:
    assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-6000:]}"


@pytest.mark.readers
def test_the_readme_runs(tmp_path: Path, kept: Store, published: dict[str, str]) -> None:
    """With archives that are not pinned at first, as its box says, and with the command that pins them."""
    own = Shell(tmp_path, kept, versions=(4,))  # a release of few artifacts
    (own.command.cwd / "checkpoints.lock").write_bytes((CHECKOUT / "checkpoints.lock").read_bytes())
    (command,) = re.findall(r"`(nasexport lock [^`]+)`", README.read_text(encoding="utf-8"))
    _succeeded(own.run(f"{command}\n{pages.program(README)}", **published))
    assert "size = " in (own.command.cwd / "checkpoints.lock").read_text(encoding="utf-8")
    assert (own.command.cwd / "release" / "manifest.json").is_file()


@pytest.mark.readers
def test_the_first_tutorial_runs(begun: Path) -> None:
    for task in ("classification", "feature_vector"):
        assert (artifact_folder(begun / "dist", "nasnet_mobile", task, 4) / "saved_model.pb").is_file()


_OTHERS = (README, FIRST, TENSORFLOW_1, OLD_HANDLES, IMAGES, QUICK)


@pytest.mark.readers
@pytest.mark.parametrize("page", [page for page in PAGES if _runnable(page) and page not in _OTHERS], ids=_name)
def test_a_page_runs(page: Path, shell: Callable[[], Shell], begun: Path, published: dict[str, str]) -> None:
    own = shell()
    shutil.copytree(begun, own.command.cwd, dirs_exist_ok=True)
    _succeeded(own.run(pages.program(page), **published))


@pytest.mark.readers
def test_the_tutorial_for_tensorflow_1_15_runs(shell: Callable[[], Shell], begun: Path) -> None:
    old = environments.old()
    own = shell()
    shutil.copytree(begun, own.command.cwd, dirs_exist_ok=True)
    _succeeded(own.run(pages.program(TENSORFLOW_1, f"env -u PYTHONPATH {old}")))


@pytest.mark.readers
def test_the_page_about_old_handles_runs(shell: Callable[[], Shell], published: dict[str, str]) -> None:
    """Its addresses are those of tfhub.dev and Kaggle, which nothing here leads to."""
    own = shell()
    _succeeded(own.run("nasexport release --models nasnet_large", **published))
    _succeeded(own.run(pages.program(OLD_HANDLES), **published))


@pytest.mark.readers
def test_the_page_about_images_runs(shell: Callable[[], Shell], begun: Path) -> None:
    own = shell()
    shutil.copytree(begun, own.command.cwd, dirs_exist_ok=True)
    for seed, name in enumerate(("photo.jpg", "imagenet/n01440764/1.JPEG", "imagenet/n01443537/2.JPEG")):
        pictures.written(own.command.cwd / name, pictures.picture(seed), kind="JPEG")
    _succeeded(own.run(pages.program(IMAGES)))


@pytest.mark.long
def test_a_page_without_the_published_networks_runs(shell: Callable[[], Shell]) -> None:
    _succeeded(shell().run(pages.program(QUICK)))
