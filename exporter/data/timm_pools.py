"""The average pools of timm's ``nasnetalarge`` as the network has them that its weights come from.

    model = timm.create_model("local-dir:FOLDER", pretrained=True)
    correct_average_pools(model)

At stride 2, timm pads with zeros and counts them in the mean. No weights make up for that: four pools, one in each cell
that halves its input, must be others. timm's ``pnasnet5large`` has no average pools, and stays as it is.
"""

import torch
from timm.layers import AvgPool2dSame
from torch import nn


class AveragePool(nn.Module):
    """The mean of each window of 3x3 pixels at stride 2, with TensorFlow's SAME: what is beyond the edge counts not.

    Of an even size, only one pixel after the last is beyond it, and ``ceil_mode`` has it without padding.
    """

    def forward(self, net: torch.Tensor) -> torch.Tensor:
        padding = (net.shape[-2] % 2, net.shape[-1] % 2)
        return nn.functional.avg_pool2d(net, 3, 2, padding, ceil_mode=True, count_include_pad=False)


def correct_average_pools(model: nn.Module) -> list[str]:
    """Replaces them in place; the names of those that were replaced."""
    names = [name for name, module in model.named_modules() if isinstance(module, AvgPool2dSame)]
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, AveragePool())
    return names
