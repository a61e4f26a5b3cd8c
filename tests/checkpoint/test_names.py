"""What is taken for what in a checkpoint by its name and shape, whatever else lies there."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.checkpoint.names import AVERAGE, NameMapping, map_names
from exporter.errors import CheckpointError
from exporter.models.config import model
from exporter.models.variables import all_variables, variables
from tests.support.fixtures import REDUCING

Shape = tuple[int, ...]
LEAVES = ["biases", "mask", "gamma", "renorm_mean", "weights_quant/min", "extra/weights"]
#: The slots of TF-Slim's and others' optimizers, with what they do to a shape.
SLOTS = ["Momentum", "RMSProp", "RMSProp_1", "Adam", "Adam_1", "Adagrad", "Ftrl", "rms/deep", "local_step"]


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(REDUCING), encoding="utf-8")
    return model(str(path))


scopes = st.sampled_from(["", "module/", "model/", "a/b/", "tower 0/"])
outside = st.sampled_from(["mystery", "training/Adam/iterations", "teacher/dense", "lookup", "convolution/weights"])


@settings(deadline=None)
@given(data=st.data())
def test_the_network_is_found_among_what_training_leaves(tiny_config, data: st.DataObject) -> None:
    every, specs = all_variables(tiny_config), variables(tiny_config, "classification")
    scope = data.draw(scopes)
    averaged = data.draw(st.sets(st.sampled_from(specs), max_size=8))
    alone = data.draw(st.sets(st.sampled_from(specs), max_size=8))  # an average without the value beside it
    shapes: dict[str, Shape] = {spec.name: spec.shape for spec in every if spec not in alone}
    shapes |= {spec.name + AVERAGE: spec.shape for spec in averaged | alone}
    with_slots = data.draw(st.lists(st.sampled_from(every), max_size=6, unique=True))
    slots = {}
    for spec in with_slots:
        shape = data.draw(st.sampled_from([spec.shape, (), (1,), spec.shape[:-1], spec.shape[-1:] * 2]))
        slots[f"{spec.name}/{data.draw(st.sampled_from(SLOTS))}"] = shape
    counters = data.draw(st.sets(st.sampled_from(["global_step", "beta1_power", "loss_scale/good_steps"])))
    unknown = data.draw(st.sets(outside))
    shapes |= slots | dict.fromkeys(counters, ()) | dict.fromkeys(unknown, (3,))
    prefix = data.draw(st.sampled_from(["train/", "training/Adam/", ""]))
    elsewhere = {f"{prefix}{name}": shape for name, shape in slots.items()} if prefix else {}

    mapping = map_names(tiny_config, specs, {scope + name: shape for name, shape in shapes.items()} | elsewhere)
    assert mapping.scope == scope
    assert mapping.names == {
        spec.name: scope + spec.name + (AVERAGE if spec in averaged | alone else "") for spec in specs
    }
    aux = [name for name in shapes if name.startswith("aux_")]
    assert asdict(mapping.left_out) == {
        "auxiliary_head": len(aux),
        "last_values": len(averaged - alone),
        "slots": len([name for name in slots if not name.startswith("aux_")]) + len(elsewhere),
        "counters": len(counters),
        "unknown": len(unknown),
    }
    assert mapping.unexpected == tuple(sorted(scope + name for name in unknown))


@settings(deadline=None)
@given(data=st.data())
def test_a_variable_too_many_in_a_layer_is_named(tiny_config, data: st.DataObject) -> None:
    specs = variables(tiny_config, "classification")
    scope = data.draw(scopes)
    shapes: dict[str, Shape] = {scope + spec.name: spec.shape for spec in all_variables(tiny_config)}
    spec = data.draw(st.sampled_from(specs))
    components = spec.name.split("/")[:-1]
    depth = data.draw(st.integers(1, len(components)))
    within = "/".join(components[:depth])
    place = data.draw(st.sampled_from([within, "cell_17", "reduction_cell_5", "cell_stem_2", "conv1", "conv12_bn"]))
    name = f"{scope}{place}/{data.draw(st.sampled_from(LEAVES))}"
    if name in shapes:
        return
    shape = data.draw(st.sampled_from([(), (8,), (1, 1, 8, 8)]))
    with pytest.raises(CheckpointError) as caught:
        map_names(tiny_config, specs, {**shapes, name: shape})
    assert f"holds {name} in the layers of reducing_nasnet" in str(caught.value)


@settings(deadline=None)
@given(data=st.data())
def test_what_lies_below_a_variable_but_is_no_slot_of_it_is_named(tiny_config, data: st.DataObject) -> None:
    specs = variables(tiny_config, "classification")
    shapes: dict[str, Shape] = {spec.name: spec.shape for spec in all_variables(tiny_config)}
    spec = data.draw(st.sampled_from(specs))
    name, shape = f"{spec.name}/{data.draw(st.sampled_from(SLOTS))}", (max(spec.shape) + 1,)
    with pytest.raises(CheckpointError, match="in the layers of reducing_nasnet"):
        map_names(tiny_config, specs, {**shapes, name: shape})


@settings(deadline=None)
@given(data=st.data())
def test_a_missing_or_renamed_variable_is_named(tiny_config, data: st.DataObject) -> None:
    specs = variables(tiny_config, "classification")
    scope = data.draw(scopes)
    spec = data.draw(st.sampled_from(specs))
    suffix = data.draw(st.sampled_from(["", AVERAGE]))
    shapes: dict[str, Shape] = {scope + each.name + suffix: each.shape for each in specs}
    del shapes[scope + spec.name + suffix]
    if data.draw(st.booleans()):
        shapes[f"{scope}{spec.name}_1"] = spec.shape
    with pytest.raises(CheckpointError) as caught:
        map_names(tiny_config, specs, shapes)
    assert f"lacks {scope}{spec.name} of the {len(specs)} variables" in str(caught.value)


def test_an_extra_classifier_is_not_of_a_feature_vector(tiny_config) -> None:
    """Nor do the counts depend on the task."""
    shapes: dict[str, Shape] = {}
    for spec in all_variables(tiny_config):
        shapes |= dict.fromkeys((spec.name, spec.name + AVERAGE), spec.shape)
    found: list[NameMapping] = [
        map_names(tiny_config, variables(tiny_config, task), shapes) for task in ("classification", "feature_vector")
    ]
    assert found[0].left_out == found[1].left_out
    other = {**shapes, "final_layer/FC_5/weights": (16, 5)}
    assert map_names(tiny_config, variables(tiny_config, "feature_vector"), other).unexpected == (
        "final_layer/FC_5/weights",
    )
    with pytest.raises(CheckpointError, match="final_layer/FC_5/weights"):
        map_names(tiny_config, variables(tiny_config, "classification"), other)
