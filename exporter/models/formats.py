"""Names and numbers of the published formats; no TensorFlow needed to know them."""

from dataclasses import dataclass

from exporter.models.config import Format, Task

#: What people call the formats.
NAMES: dict[Format, str] = {"hub": "TF1 Hub module", "saved_model_2": "TF2 SavedModel"}

#: Decay of the moving averages when an artifact of version 3 and later is fine-tuned, unless told otherwise.
DEFAULT_MOMENTUM = 0.99

#: What a verification sets the momentum to in a training step; far from every default.
TRAINING_MOMENTUM = 0.75

#: The first version whose momentum can be set.
FIRST_MOMENTUM_VERSION = 3
#: The first version with a ``serving_default`` signature.
FIRST_SERVING_VERSION = 5
SERVING_INPUT = "inputs"
SERVING_OUTPUTS: dict[Task, str] = {"classification": "logits", "feature_vector": "feature_vector"}

#: Decay of the moving averages while the published checkpoints were trained; that of versions 1 and 2.
TRAINING_DECAY = 0.9997

#: What marks a folder as a TF1 Hub module, beside its ``saved_model.pb``.
HUB_MODULE_FILE = "tfhub_module.pb"
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
    if version >= FIRST_MOMENTUM_VERSION:
        for name, end_point in end_points.items():
            signatures[f"{name}_with_bn_hparams"] = HubSignature((IMAGE_INPUT, MOMENTUM_INPUT), end_point)
    return signatures
