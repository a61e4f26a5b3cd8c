"""The checks of a Keras network."""

from collections.abc import Collection, Iterator

from exporter.models.formats import KERAS, TRAINING_MOMENTUM, Version
from exporter.models.variables import variables
from exporter.probe.result import ProbeResult
from exporter.reference.result import Reference
from exporter.verification import drop_path
from exporter.verification.checks import (
    change_checks,
    end_points_check,
    gradient_checks,
    l2_checks,
    moving_averages_checks,
    output_checks,
    regularization_check,
    stored_check,
    variables_checks,
)
from exporter.verification.declared import interface_check, properties_check
from exporter.verification.recognition import poolings_check, recognized
from exporter.verification.results import Check, Expected, count


def compare(expected: Expected, reference: Reference, found: ProbeResult, problems: list[str]) -> list[Check]:
    """Every check of a Keras network, passed or not.

    Args:
        found: what `exporter.probe.keras.probe` found.
        problems: the layers that are none of Keras's own.
    """
    output = reference.end_points.output(expected.task)
    specs = variables(expected.config, expected.task)
    checks: list[Check] = []
    # Others have names and layers of their own: what theirs computes decides.
    if expected.ordered:
        checks.append(count("layers that Keras alone does not have", len(problems), "; ".join(problems[:1])))
        # Keras has an order of its own.
        checks += variables_checks(specs, reference.digests, found.variables, found.trainable, ordered=False)
        checks += stored_check(expected, found)
        checks.append(interface_check(expected, found))
        checks.append(properties_check(expected, found, beside=("keras_version", "date_saved")))
    else:
        checks += poolings_check(found)
    checks += output_checks("output", expected.task, output, found.output)
    checks += output_checks("output for one image", expected.task, output[:1], found.single_output)
    shown = found.end_points if expected.ordered else recognized(expected, found)
    checks.append(end_points_check(expected, reference.end_points, shown))
    if expected.ordered:
        loss = reference.regularization_losses[expected.task]
        checks.append(regularization_check(loss, found.regularization_losses))
        checks += l2_checks(expected, found)
        checks += _training(expected, reference, found)
    return checks


def guess_version(signatures: Collection[str]) -> Version:
    """The format has one version."""
    return KERAS.name


def _training(expected: Expected, reference: Reference, found: ProbeResult) -> Iterator[Check]:
    yield from drop_path.checks(expected, found)
    yield from gradient_checks(expected, found)
    yield from change_checks(found)
    precise = reference.precise
    assert precise is not None  # the verifier has set it
    yield from moving_averages_checks(found, precise.batch_statistics, TRAINING_MOMENTUM, expected.momentum)
    output = precise.training_end_points.output(expected.task)
    yield from output_checks("output in training mode", expected.task, output, found.training_output)
