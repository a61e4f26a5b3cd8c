"""The steps of one model: which of them wait for which, and what a failure ends."""

import threading

import pytest

from exporter.artifact.jobs import EXPORT
from exporter.errors import ArtifactError, CheckpointError, NasexportError
from exporter.models.config import Task, model
from exporter.models.formats import FORMATS, FormatSpec
from exporter.processes import scheduler
from exporter.processes.run import AnyJob
from exporter.reference.jobs import REFERENCE
from exporter.verification.pipeline import Pipeline
from exporter.verification.prober import Probed
from exporter.verification.results import Check

HUB, SAVED_MODEL = FORMATS["hub"], FORMATS["saved_model_2"]
CLASSIFIER: Task = "classification"
FEATURES: Task = "feature_vector"
MEMORY = 10**11


class _Steps(Pipeline[str]):
    """Writes down what is done; what is named in ``failing`` fails."""

    def __init__(self, artifacts: dict[str, tuple[FormatSpec, Task]], *failing: str, exports: bool = True):
        super().__init__(model("nasnet_mobile"), {"all": EXPORT} if exports else {}, needs_reference=True)
        self._artifacts, self._failing = artifacts, failing
        self.done: list[str] = []
        self.told: list[str] = []

    def _do(self, step: str) -> None:
        self.done.append(step)
        if step in self._failing:
            raise ArtifactError(step)

    def export(self, name: str) -> None:
        self._do("export")

    def prepare(self) -> None:
        self._do("reference")

    def unprepared(self, job: AnyJob, error: NasexportError) -> None:
        self.told.append(f"no {'reference' if job is REFERENCE else 'export'}: {error}")

    def exported(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
        return self._artifacts

    def probe(self, key: str) -> Check:
        self._do(f"probe {key}")
        return Check(key, 0, 0, "")

    def complete(self, key: str, probed: Probed | Check) -> None:
        assert isinstance(probed, Check) and probed.name == key
        self._do(f"complete {key}")

    def completed(self, key: str, error: NasexportError | None) -> None:
        self.told.append(f"{key}: {error or 'right'}")

    def forget(self, spec: FormatSpec) -> None:
        self.done.append(f"forget {spec.name}")

    def close(self) -> None:
        self.done.append("close")


class _Meeting(_Steps):
    """Its reference and its first probe each wait for the other to begin."""

    both = threading.Barrier(2, timeout=30)

    def prepare(self) -> None:
        super().prepare()
        self.both.wait()

    def probe(self, key: str) -> Check:
        if key == "a":
            self.both.wait()
        return super().probe(key)


TWO = {"a": (SAVED_MODEL, CLASSIFIER), "b": (SAVED_MODEL, CLASSIFIER)}


@pytest.mark.parametrize("exports", [True, False])
def test_an_artifact_runs_while_the_reference_is_computed(exports: bool) -> None:
    steps = _Meeting(TWO, exports=exports)
    scheduler.run(steps.tasks(), 2, MEMORY)
    assert sorted(steps.done) == sorted(
        ["reference", "probe a", "probe b", "complete a", "complete b", "close", "forget saved_model_2"]
        + ["export"] * exports
    )
    assert sorted(steps.told) == ["a: right", "b: right"]


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_what_one_spares_another_comes_after_it_and_nothing_is_judged_without_a_reference(jobs: int) -> None:
    steps = _Steps({"a": (HUB, CLASSIFIER), "b": (HUB, CLASSIFIER), "c": (HUB, FEATURES), "d": (HUB, FEATURES)})
    scheduler.run(steps.tasks(), jobs, MEMORY)
    place = {step: number for number, step in enumerate(steps.done)}
    for before, after in (("a", "b"), ("a", "c"), ("c", "d")):
        assert place[f"probe {before}"] < place[f"probe {after}"]
    for key in "abcd":
        assert max(place["reference"], place[f"probe {key}"]) < place[f"complete {key}"]
    assert sorted(steps.told) == [f"{key}: right" for key in "abcd"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_cannot_be_run_or_is_wrong_does_not_keep_those_after_it(jobs: int) -> None:
    steps = _Steps({**TWO, "c": (SAVED_MODEL, FEATURES)}, "probe a", "complete b")
    scheduler.run(steps.tasks(), jobs, MEMORY)
    assert sorted(steps.told) == ["a: probe a", "b: complete b", "c: right"]
    assert "complete a" not in steps.done


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("failing", ["export", "reference"])
def test_without_export_or_reference_nothing_is_completed(failing: str, jobs: int) -> None:
    steps = _Steps(TWO, failing)
    scheduler.run(steps.tasks(), jobs, MEMORY)
    assert steps.told == [f"no {failing}: {failing}"]
    assert not any(step.startswith("complete") for step in steps.done)


def test_one_at_a_time_each_is_complete_before_the_next_is_run() -> None:
    steps = _Steps({"a": (SAVED_MODEL, CLASSIFIER), "b": (SAVED_MODEL, FEATURES)})
    scheduler.run(steps.tasks(), 1, MEMORY)
    done = ["reference", "export", "probe a", "complete a", "probe b", "forget saved_model_2", "complete b", "close"]
    assert steps.done == done


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_what_was_found_is_kept_until_the_last_of_a_format_ran(jobs: int) -> None:
    artifacts = {"a": (HUB, CLASSIFIER), "b": (SAVED_MODEL, CLASSIFIER), "c": (HUB, FEATURES)}
    steps = _Steps(artifacts, "probe b", "complete c")
    scheduler.run(steps.tasks(), jobs, MEMORY)
    place = {step: number for number, step in enumerate(steps.done)}
    assert len(place) == len(steps.done)
    assert place["forget hub"] > max(place["probe a"], place["probe c"])
    assert place["forget saved_model_2"] > place["probe b"]
    assert place["close"] > max(place["complete a"], place["complete c"])


def test_of_several_models_the_longest_chain_begins() -> None:
    """A short one in front of it would leave the rest of the long one to run alone."""
    order: list[str] = []

    class Named(_Steps):
        def __init__(self, name: str, artifacts: dict[str, tuple[FormatSpec, Task]]) -> None:
            super().__init__(artifacts)
            self._name = name

        def planned(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
            return self._artifacts

        def _do(self, step: str) -> None:
            order.append(f"{self._name} {step}")

    short = Named("short", {"a": (SAVED_MODEL, CLASSIFIER)})
    long = Named("long", dict.fromkeys("abc", (HUB, CLASSIFIER)))
    scheduler.run([*short.tasks(), *long.tasks()], 2, MEMORY)
    exports = [step for step in order if step.endswith("export")]
    assert exports == ["long export", "short export"]
    assert all("reference" in step for step in order[:2])


def test_what_was_exported_first_does_not_wait_for_the_rest() -> None:
    class Two(_Steps):
        def __init__(self) -> None:
            super().__init__(TWO)
            self._exports = {"a": EXPORT, "b": EXPORT}
            self._ran = threading.Event()

        def export(self, name: str) -> None:
            if name == "b":
                assert self._ran.wait(30)

        def exported(self, name: str) -> dict[str, tuple[FormatSpec, Task]]:
            return {name: TWO[name]}

        def probe(self, key: str) -> Check:
            if key == "a":
                self._ran.set()
            return super().probe(key)

    steps = Two()
    scheduler.run(steps.tasks(), 2, MEMORY)
    assert sorted(steps.told) == ["a: right", "b: right"]


def test_what_a_step_raises_ends_the_others() -> None:
    class Refusing(_Steps):
        def completed(self, key: str, error: NasexportError | None) -> None:
            raise CheckpointError("refused")

    steps = Refusing(TWO)
    with pytest.raises(CheckpointError, match="refused"):
        scheduler.run(steps.tasks(), 1, MEMORY)
    assert "complete b" not in steps.done
