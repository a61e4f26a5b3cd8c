"""Small configurations of both families, for hypothesis to choose from."""

from hypothesis import strategies as st

from exporter.models.config import ModelConfig
from tests.support.fixtures import TINY


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Networks of a few small cells, on images of odd and even sizes, whose reductions are anywhere."""
    cells = draw(st.integers(1, 4))
    reductions = sorted(draw(st.sets(st.integers(1, 3), max_size=2).map(lambda places: places & set(range(cells)))))
    return ModelConfig.from_dict(
        {
            **TINY,
            "family": draw(st.sampled_from(["nasnet", "pnasnet"])),
            "image_size": draw(st.integers(33, 72)),
            "num_classes": draw(st.integers(2, 11)),
            "num_cells": cells,
            "num_conv_filters": 4 * draw(st.integers(1, 3)),
            "stem_filters": draw(st.integers(1, 8)),
            "reductions": reductions,
            "skip_reduction_layer_input": draw(st.booleans()),
        }
    )
