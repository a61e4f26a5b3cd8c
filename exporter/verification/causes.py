"""What most likely lies behind many checks that failed: one fault shows in all that follows from it."""

from collections.abc import Sequence

from exporter.verification.checks import NAMES_CHECK, VALUES_CHECK
from exporter.verification.results import Check


def likely_cause(checks: Sequence[Check], variables: int, network: str, checkpoint: str) -> str:
    """The cause in a line, for people; empty where none is more likely than the rest.

    Args:
        checks: of one artifact, passed or not.
        variables: how many the network has.
        network: what the artifact was held against, for people.
        checkpoint: the same, of the weights.
    """
    figures = {check.name: check.figure for check in checks}
    renamed, changed = (figures.get(name, 0.0) for name in (NAMES_CHECK, VALUES_CHECK))
    # Names that only one of the two has count, so there may be twice as many as variables.
    if renamed >= variables:
        return f"hardly a variable has the name that it has in {network}: it is most likely another network"
    if 2 * changed < variables:
        return ""
    values = f"{changed:,.0f} of {variables:,} variables have other values than in {checkpoint}"
    if any(check.is_difference and not check.passed for check in checks):
        return f"{values}: it was most likely made from another checkpoint, or trained further"
    return f"{values}, and still it computes the same: they were most likely rounded"
