"""timm, imported beside any build of PyTorch; importing this module raises ArtifactError where it cannot be."""

import importlib
import sys
from typing import Any

import torch

from exporter.errors import ArtifactError, reason

#: Declarations last as long as the object that made them.
_DECLARED: list[Any] = []


def _library() -> Any:
    try:
        try:
            return importlib.import_module("timm")
        except RuntimeError as error:
            # torchvision, which timm imports, has kernels for one build of PyTorch alone. Beside another one it fails
            # for want of two operations that nothing here calls: they only have to have been declared.
            if "torchvision::nms" not in str(error):
                raise
            for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
                del sys.modules[name]
            _declare("nms", "qnms")
            return importlib.import_module("timm")
    except Exception as error:
        raise ArtifactError(f"timm cannot be imported: {reason(error)}") from error


def _declare(*names: str) -> None:
    operations = torch.library.Library("torchvision", "FRAGMENT")
    for name in names:
        operations.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(operations)


timm: Any = _library()
