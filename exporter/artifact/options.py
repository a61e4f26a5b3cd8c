"""What may be chosen about an artifact, whatever its format; ``nasexport.json`` and records say it."""

from typing import Literal

import msgspec

from exporter.validation import Fraction

#: How weights are stored.
Precision = Literal["float32", "float16"]


class ArtifactOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of an artifact.

    ``batch_norm_momentum`` is the default decay of the moving averages, None where nothing is trained. ``end_points``
    is whether the end points are outputs, too. ``precision`` is how weights are stored.
    """

    batch_norm_momentum: Fraction | None
    end_points: bool = False
    precision: Precision = "float32"
