"""The checks of a Keras network."""

from collections.abc import Collection, Iterator

from exporter.artifact.keras import batch_norm_pixels
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import Arrays
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
    batch = _of_the_batch_itself(expected, reference.batch_statistics)
    yield from moving_averages_checks(found, batch, TRAINING_MOMENTUM, expected.momentum)
    output = reference.training_end_points.output(expected.task)
    yield from output_checks("output in training mode", expected.task, output, found.training_output)


def _of_the_batch_itself(expected: Expected, statistics: Arrays) -> Arrays:
    """Statistics of a batch with the variance of its pixels alone, which Keras takes.

    TensorFlow's batch norms, and so the reference, estimate from it the variance of all images there are, which is
    larger by ``n / (n - 1)`` for n pixels.
    """
    own = {}
    for scope, pixels in batch_norm_pixels(expected.config, expected.task).items():
        seen = VERIFICATION_IMAGES.count * pixels
        own[f"{scope}/moving_mean"] = statistics[f"{scope}/moving_mean"]
        own[f"{scope}/moving_variance"] = statistics[f"{scope}/moving_variance"] * (seen - 1) / seen
    return own
