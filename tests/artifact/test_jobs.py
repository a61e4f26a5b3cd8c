"""What writing artifacts is expected to take."""

import itertools

from exporter.artifact.jobs import EXPORT, expected_export, export_job
from exporter.models.formats import FORMATS, written


def test_formats_together_are_expected_to_need_what_the_greatest_does() -> None:
    assert EXPORT.memory
    specs = [FORMATS[name] for name in written()]
    for some in itertools.chain.from_iterable(itertools.combinations(specs, count) for count in (1, 2, len(specs))):
        memory, own = expected_export(some).memory, export_job(some).memory
        assert memory and own and memory.base == own.base
        assert memory.per_weight == max([own.per_weight, *(spec.writing_memory for spec in some)])
    assert expected_export([FORMATS["hub"], FORMATS["saved_model_2"]]) == EXPORT
    converted = expected_export([FORMATS["hub"], FORMATS["litert"]]).memory
    assert converted and converted.per_weight > 2 * EXPORT.memory.per_weight
