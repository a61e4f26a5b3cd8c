"""Names in the signatures of artifacts: what readers feed and fetch."""

from dataclasses import dataclass

from exporter.models.config import Task
from exporter.models.formats import HUB

#: Input and outputs of the ``serving_default`` signature of a TF2 SavedModel.
SERVING_INPUT = "inputs"
SERVING_OUTPUTS: dict[Task, str] = {"classification": "logits", "feature_vector": "feature_vector"}

#: The property that has the tensor in the graph of each end point, by its name, in ONNX models and PyTorch programs;
#: feature maps are [batch, channels, height, width] there.
END_POINTS_PROPERTY = "end_points"

#: Inputs of a TF1 Hub module's signatures.
IMAGE_INPUT = "images"
MOMENTUM_INPUT = "batch_norm_momentum"

#: The collections that ``hub.Module`` takes; any other is an error there.
HUB_COLLECTIONS = frozenset(
    {
        "variables",
        "trainable_variables",
        "model_variables",
        "update_ops",
        "regularization_losses",
        "table_initializer",
        "asset_filepaths",
        "cond_context",
        "while_context",
        "hub_module_attachments",
    }
)


@dataclass(frozen=True)
class HubSignature:
    """A signature of a TF1 Hub module: its inputs, and the end point that its output ``default`` is."""

    inputs: tuple[str, ...]
    end_point: str


def hub_signatures(task: Task, version: int) -> dict[str, HubSignature]:
    """The signatures of a TF1 Hub module, by name; the same in every tag set."""
    end_points = {"image_feature_vector": "global_pool"}
    if task == "classification":
        end_points["image_classification"] = "Logits"
    own = end_points.get("image_classification", "global_pool")
    signatures = {name: HubSignature((IMAGE_INPUT,), end_point) for name, end_point in end_points.items()}
    signatures["default"] = HubSignature((IMAGE_INPUT,), own)
    if HUB.version(version).momentum_settable:
        for name, end_point in end_points.items():
            signatures[f"{name}_with_bn_hparams"] = HubSignature((IMAGE_INPUT, MOMENTUM_INPUT), end_point)
    return signatures
