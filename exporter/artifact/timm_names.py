"""Where timm has the variables of these networks: its networks, the names of its parameters.

Read off timm 1.0.31: ``timm/models/nasnet.py`` (`NASNetALarge`, registered as ``nasnetalarge``) and
``timm/models/pnasnet.py`` (`PNASNet5Large`, ``pnasnet5large``), whose names are those of Cadene's pretrained-models.
There are no others of these families: the numbers of cells are written out in both classes, and in the second one all
channels are.
"""

import re
from dataclasses import dataclass
from typing import Any

from exporter.errors import USAGE, ConfigError
from exporter.models.cells import FamilyName
from exporter.models.config import ModelConfig
from exporter.models.variables import features

#: What timm gives besides the main output: with its pools as they are, and with its usual classes.
SHIPPED, USUAL = "as timm ships it", "timm.create_model"
#: The modules of timm's network that it is corrected in.
CORRECTED = "corrected average pools"

#: The module of the classifier.
CLASSIFIER = "last_linear"


@dataclass(frozen=True)
class TimmNetwork:
    """A network of timm's.

    ``stem`` is the name of its first module. ``reduction`` is what the paths of a factorized reduction lie below in
    their cell. ``fixed`` are those fields of a configuration that no argument of the class can change.
    """

    architecture: str
    stem: str
    reduction: str
    fixed: dict[str, Any]


NETWORKS: dict[FamilyName, TimmNetwork] = {
    "nasnet": TimmNetwork(
        "nasnetalarge",
        stem="conv0",
        reduction="",
        fixed={"num_cells": 18, "reductions": (6, 12), "skip_reduction_layer_input": True},
    ),
    "pnasnet": TimmNetwork(
        "pnasnet5large",
        stem="conv_0",
        reduction="conv_prev_1x1.",
        fixed={"num_cells": 12, "reductions": (4, 8), "num_conv_filters": 216, "stem_filters": 96},
    ),
}

#: What scopes of the checkpoint are in timm, each tried in this order, up to the last leaf.
_SCOPES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^conv0$", "{stem}.conv"),
        (r"^conv0_bn$", "{stem}.bn"),
        (r"^final_layer/FC$", CLASSIFIER),
        (r"^(\w+)/path([12])_conv$", r"\1.{reduction}path_\2.conv"),
        (r"^(\w+)/final_path_bn$", r"\1.{reduction}final_path_bn"),
        (r"^(\w+)/prev_1x1$", r"\1.conv_prev_1x1.conv"),
        (r"^(\w+)/prev_bn$", r"\1.conv_prev_1x1.bn"),
        (r"^(\w+)/1x1$", r"\1.conv_1x1.conv"),
        (r"^(\w+)/beginning_bn$", r"\1.conv_1x1.bn"),
        (r"^(\w+)/comb_iter_(\d)/(left|right)/1x1$", r"\1.comb_iter_\2_\3.conv"),
        (r"^(\w+)/comb_iter_(\d)/(left|right)/bn_1$", r"\1.comb_iter_\2_\3.bn"),
        (r"^(\w+)/comb_iter_(\d)/(left|right)/(bn_sep|separable)_\dx\d_([12])$", r"\1.comb_iter_\2_\3.\4_\5"),
    )
)
_LEAVES = {
    "weights": "weight",
    "biases": "bias",
    "depthwise_weights": "depthwise_conv2d.weight",
    "pointwise_weights": "pointwise_conv2d.weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def network_for(config: ModelConfig) -> TimmNetwork:
    """The network of timm's that a configuration is one of.

    Raises:
        ConfigError: timm has none.
    """
    network = NETWORKS[config.family]
    found = config.to_dict() | {"reductions": config.reductions}
    for field, value in network.fixed.items():
        if found[field] != value:
            problem = f"timm has no network for {config.name}: its {network.architecture} has {field} {value}, "
            raise ConfigError(f"{problem}and {config.name} has {found[field]}", status=USAGE)
    if config.num_conv_filters % 4:
        problem = f"timm has no network for {config.name}: its {network.architecture} needs num_conv_filters "
        raise ConfigError(f"{problem}that 4 divides, and {config.name} has {config.num_conv_filters}", status=USAGE)
    return network


def model_arguments(config: ModelConfig) -> dict[str, int]:
    """The arguments of timm's class that make the configuration's network of it; none for the published sizes."""
    defaults = {"stem_size": 96, "num_features": 4032}
    if config.family != "nasnet":
        return {}
    wanted = {"stem_size": config.stem_filters, "num_features": features(config)}
    return {name: value for name, value in wanted.items() if value != defaults[name]}


def parameter_name(name: str, network: TimmNetwork) -> str:
    """The name that timm's network has for a variable of the checkpoint: a key of its ``state_dict()``.

    Raises:
        KeyError: it has none.
    """
    scope, _, leaf = name.rpartition("/")
    for pattern, replacement in _SCOPES:
        if match := pattern.fullmatch(scope):
            own = match.expand(replacement).format(stem=network.stem, reduction=network.reduction)
            return f"{own}.{_LEAVES[leaf]}"
    raise KeyError(name)
