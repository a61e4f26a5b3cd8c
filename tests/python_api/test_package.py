"""The package `nasexport` itself: what importing it costs, its documentation, settings, results and progress."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import nasexport
from exporter import errors
from exporter.settings import Settings
from exporter.verification.results import Check as InnerCheck
from exporter.verification.results import Report
from nasexport import _progress, _settings
from nasexport._verify import checks_of
from nasexport.results import Check, Verification
from tests.support.command import CHECKOUT

#: What none of it may import before it is asked for.
_HEAVY = ("IPython", "click", "keras", "numpy", "tensorflow")
MODULES = ["nasexport", *(found.name for found in pkgutil.walk_packages(nasexport.__path__, "nasexport."))]
#: What they import is imported with TensorFlow.
_WITH_TENSORFLOW = "nasexport.keras"


def test_importing_it_imports_nothing_heavy() -> None:
    program = f"import sys, nasexport; print([name for name in {_HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("[]\n", "")


@pytest.mark.parametrize("name", [name for name in MODULES if name not in (_WITH_TENSORFLOW, "nasexport.__main__")])
def test_what_its_documentation_shows_is_so(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASEXPORT_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_all_of_it_is_documented_and_typed() -> None:
    assert nasexport.__all__ == sorted(nasexport.__all__)
    public = {name: getattr(nasexport, name) for name in nasexport.__all__}
    for name, value in public.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name
    for function in filter(inspect.isfunction, public.values()):
        signature, documented = inspect.signature(function), inspect.getdoc(function) or ""
        assert signature.return_annotation is not signature.empty, function
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, (function, parameter)
            assert re.search(rf"^    .*\b{parameter.name}\b.*:", documented, re.MULTILINE), (function, parameter)


def test_every_family_of_errors_has_its_line() -> None:
    families = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.NasexportError)
    }
    del families["OutputError"]  # of the command's standard output
    documented = nasexport.errors.__doc__ or ""
    for name, family in families.items():
        assert getattr(nasexport.errors, name) is family and f"`{name}`" in documented
    assert set(nasexport.errors.__all__) == {*families, "NasexportWarning"}


def test_settings_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('cache-dir = "/from/file"\nmirror = ["https://one"]\ntimeout = 5\nretries = 2\n')
    monkeypatch.setenv("NASEXPORT_CONFIG", str(file))
    for name in ("CACHE_DIR", "LOCK", "MIRROR", "OFFLINE", "FROZEN", "TIMEOUT", "RETRIES"):
        monkeypatch.delenv(f"NASEXPORT_{name}", raising=False)
    expected = Settings(cache_dir=Path("/from/file"), mirrors=("https://one",), timeout=5, retries=2)
    assert _settings.chosen(None) == expected
    for name, value in {
        "CACHE_DIR": "/other",
        "MIRROR": "a  b",
        "OFFLINE": "yes",
        "FROZEN": "0",
        "TIMEOUT": "7.5",
    }.items():
        monkeypatch.setenv(f"NASEXPORT_{name}", value)
    assert _settings.chosen(None) == Settings(Path("/other"), None, ("a", "b"), True, False, 7.5, 2)
    own = nasexport.Settings("cache", Path("lock"), mirrors="https://one", retries=9)
    assert _settings.chosen(own) == Settings(Path("cache"), Path("lock"), ("https://one",), retries=9)
    for wrong in (nasexport.Settings(retries=-1), nasexport.Settings(timeout=0), nasexport.Settings("")):
        with pytest.raises(nasexport.errors.ConfigError):
            _settings.chosen(wrong)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OFFLINE", "perhaps", "NASEXPORT_OFFLINE is 'perhaps', expected 1 or 0"),
        ("TIMEOUT", "soon", "NASEXPORT_TIMEOUT is 'soon', expected a number from 0.1 to 86400"),
        ("TIMEOUT", "nan", "NASEXPORT_TIMEOUT is 'nan', expected a number from 0.1 to 86400"),
        ("RETRIES", "-1", "NASEXPORT_RETRIES is '-1', expected a number from 0 to 1000"),
        ("RETRIES", "1.5", "NASEXPORT_RETRIES is '1.5', expected a number from 0 to 1000"),
    ],
)
def test_a_variable_that_is_not_valid_is_refused(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("")
    monkeypatch.setenv("NASEXPORT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv(f"NASEXPORT_{name}", value)
    with pytest.raises(nasexport.errors.ConfigError) as refused:
        _settings.chosen(None)
    assert str(refused.value) == message


def test_a_verification_without_checks_or_with_a_wrong_one_is_false() -> None:
    checks = (InnerCheck("right", 0.5, 1), InnerCheck("wrong", float("nan"), 1, "<a place>"))
    found = checks_of(Report("path", checks))
    assert found[0] == Check("right", 0.5, 1, True) and [check.passed for check in found] == [True, False]
    verification = Verification(Path("path"), found)
    assert not verification and verification.failed == found[1:]
    assert Verification(Path("path"), found[:1]) and not Verification(Path("path"), ())
    assert repr(verification) == "<Verification of 'path': 1 of 2 checks FAILED, wrong>"
    html = verification._repr_html_()
    assert html.index("wrong") < html.index("right") and "&lt;a place&gt;" in html


class _Notebook:
    """Enough of IPython: a shell with a kernel, and what is displayed and then drawn anew."""

    def __init__(self) -> None:
        self.kernel, self.drawn = object(), list[str]()

    def display(self, value: Any, display_id: bool) -> "_Notebook":
        assert display_id
        self.update(value)
        return self

    def update(self, value: Any) -> None:
        self.drawn.append(value._repr_html_())


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> _Notebook:
    shell = _Notebook()
    package, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display.display = shell.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(_progress, "_INTERVAL", 0)
    return shell


def _interrupted() -> None:
    with _progress.shown(True, "verify") as listener:
        listener.step("reading")
        raise KeyboardInterrupt


def test_a_notebook_shows_one_bar_that_moves(notebook: _Notebook, capfd: pytest.CaptureFixture[str]) -> None:
    with _progress.shown(True, "<model>", 4) as listener:
        listener.step("reading")
        listener.step("<writing>")
        listener.transferred(500_000, 2_000_000)
    assert notebook.drawn[0] == '<p>&lt;model&gt; <progress value="0" max="4"></progress> </p>'
    assert notebook.drawn[2] == '<p>&lt;model&gt; <progress value="1" max="4"></progress> &lt;writing&gt;</p>'
    assert notebook.drawn[3].endswith(" &lt;writing&gt;, 0.5 of 2.0 MB</p>")
    assert notebook.drawn[4:] == ["<p>&lt;model&gt;: done, 0 s</p>"]
    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    assert notebook.drawn[6] == "<p>verify <progress></progress> reading</p>"
    assert notebook.drawn[-1] == "<p>verify: stopped, 0 s</p>"
    assert capfd.readouterr() == ("", "")


def test_progress_is_that_of_the_command_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    with _progress.shown(True, "verify") as listener:
        listener.step("reading")
    assert capfd.readouterr() == ("", "verify: reading\n")
    with _progress.shown(False, "verify") as listener:
        listener.step("reading")
    steps: list[str] = []
    with _progress.shown(steps.append, "verify") as listener:
        listener.step("reading")
    assert capfd.readouterr() == ("", "") and steps == ["reading"]
    with pytest.warns(nasexport.NasexportWarning, match="odd"), _progress.shown(False, "verify") as listener:
        listener.warn("something odd")
