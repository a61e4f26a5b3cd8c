"""`nasexport.keras_layer` in networks of Keras 3, beside ``hub.KerasLayer`` in the same networks of tf_keras."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs
from tests.support.command import Command, artifact_folder
from tests.support.shared import Store

#: They run networks in Keras, which takes a minute in all.
pytestmark = pytest.mark.readers

#: Of a network without drop path and dropout, where nothing in a step is drawn at random.
_TRAIN = """
import json, sys
import numpy as np
import keras, tensorflow as tf, tensorflow_hub as hub, tf_keras
import nasexport

artifact, folder = sys.argv[1:]
random = np.random.default_rng(0)
images, labels = random.random((4, 64, 64, 3)).astype(np.float32), np.array([0, 1, 1, 0])
momentum = 0.75


def network(library, layer):
    first = library.layers.InputLayer(images.shape[1:])
    made = library.Sequential([first, layer, library.layers.Dense(2, kernel_initializer="ones")])
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(library.optimizers.SGD(0.01), loss)
    return made


def values(variables):
    return {variable.name.partition(":")[0]: variable.numpy() for variable in variables}


layer = nasexport.keras_layer(artifact, batch_norm_momentum=momentum, name="network")
theirs = hub.KerasLayer(artifact, trainable=True, arguments={"batch_norm_momentum": momentum})
networks = network(keras, layer), network(tf_keras, theirs)
before = values(layer._artifact.variables)
arrays, facts = {}, {"weights": [len(layer.trainable_weights), len(layer.weights)]}
facts["penalty"] = [[float(loss) for loss in each.losses] for each in networks]
facts["inference"] = float(np.abs(np.subtract(*(each.predict(images, verbose=0) for each in networks))).max())
inferred = values(layer._artifact.variables)
facts["moved_by_inference"] = sum(not np.array_equal(before[name], inferred[name]) for name in before)
options = dict(batch_size=4, epochs=2, shuffle=False, verbose=0)
facts["loss"] = [each.fit(images, labels, **options).history["loss"] for each in networks]
after = values(layer._artifact.variables), values(theirs.resolved_object.variables)
facts["unmoved"] = [[name for name in before if np.array_equal(before[name], each[name])] for each in after]
facts["difference"] = max(float(np.abs(after[0][name] - after[1][name]).max()) for name in before)
facts["names"] = sorted(before) == sorted(after[1])

trained, output = networks[0], networks[0].predict(images, verbose=0)
trained.save_weights(f"{folder}/network.weights.h5")
trained.save(f"{folder}/network.keras")
again = keras.saving.load_model(f"{folder}/network.keras")
facts["after_saving"] = float(np.abs(again.predict(images, verbose=0) - output).max())
facts["momentum_after_saving"] = again.get_layer("network").get_config()["batch_norm_momentum"]
second = trained.fit(images, labels, **options).history["loss"]
facts["goes_on_after_saving"] = [second, again.fit(images, labels, **options).history["loss"]]
fresh = network(keras, nasexport.keras_layer(artifact, name="network"))
fresh.load_weights(f"{folder}/network.weights.h5")
facts["after_loading_weights"] = float(np.abs(fresh.predict(images, verbose=0) - output).max())

frozen = nasexport.keras_layer(artifact, trainable=False)
kept = values(frozen._artifact.variables)
network(keras, frozen).fit(images, labels, **options)
facts["frozen"] = [len(frozen.trainable_weights), len(frozen.losses), len(frozen.weights)]
now = values(frozen._artifact.variables)
facts["moved_when_frozen"] = [name for name in kept if (now[name] != kept[name]).any()]
keras.mixed_precision.set_global_policy("mixed_float16")
mixed = network(keras, nasexport.keras_layer(artifact))
facts["mixed"] = [str(mixed.predict(images, verbose=0).dtype), mixed.layers[0].compute_dtype]
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def artifact(tiny_pnasnet_artifacts: Path) -> Path:
    return artifact_folder(tiny_pnasnet_artifacts, "tiny_pnasnet", "feature_vector", 5)


@pytest.fixture(scope="module")
def trained(cli: Command, artifact: Path, of_this_run: Store) -> tuple[dict[str, Any], Path]:
    """What a program found that trained two networks, and the folder that it saved one to."""

    def make(folder: Path) -> None:
        facts = programs.said(programs.run_with_tensorflow(cli, _TRAIN, artifact, folder))
        (folder / "facts.json").write_text(json.dumps(facts))

    folder = of_this_run.made("trained_with_keras_layer", make)
    return json.loads((folder / "facts.json").read_text()), folder


def test_it_trains_all_variables_as_the_layer_of_tensorflow_hub_does(trained: tuple[dict[str, Any], Path]) -> None:
    facts, _ = trained
    assert facts["weights"] == [173, 263] and facts["names"]
    (ours,), (theirs,) = facts["penalty"]
    assert ours == pytest.approx(theirs, rel=1e-6) and ours > 0
    assert facts["inference"] < 1e-6 and facts["moved_by_inference"] == 0
    assert facts["loss"][0] == pytest.approx(facts["loss"][1], rel=1e-5)
    assert facts["loss"][0][1] < facts["loss"][0][0]
    assert facts["difference"] < 1e-6
    # One scale of a batch norm has a gradient too small for its float32.
    assert facts["unmoved"][0] == facts["unmoved"][1] and len(facts["unmoved"][0]) < 3


def test_a_saved_network_needs_no_artifact(trained: tuple[dict[str, Any], Path]) -> None:
    facts, folder = trained
    assert facts["after_saving"] == facts["after_loading_weights"] == 0
    assert facts["momentum_after_saving"] == 0.75
    assert facts["goes_on_after_saving"][0] == pytest.approx(facts["goes_on_after_saving"][1], rel=1e-5)
    with zipfile.ZipFile(folder / "network.keras") as file:
        assert str(folder) not in file.read("config.json").decode()


def test_where_it_is_not_trainable_nothing_moves(trained: tuple[dict[str, Any], Path]) -> None:
    facts, _ = trained
    assert facts["frozen"] == [0, 0, 263] and facts["moved_when_frozen"] == []


def test_it_computes_in_float32_in_a_network_of_mixed_precision(trained: tuple[dict[str, Any], Path]) -> None:
    facts, _ = trained
    assert facts["mixed"] == ["float16", "float32"]


_REFUSED = """
import base64, json, sys, zlib
import keras
import nasexport, nasexport.keras

module, artifact, folder, saved = sys.argv[1:]
found = {}
def tried(name, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]

tried("format", nasexport.keras_layer, module)
tried("momentum", nasexport.keras_layer, artifact, batch_norm_momentum=-1)
tried("nothing", nasexport.keras_layer, folder + "/nowhere")
layer = nasexport.keras_layer(artifact)
config = layer.get_config()
for name, graph in {
    "text": "no base 64!",
    "packed": base64.b64encode(b"no zlib").decode(),
    "cut": base64.b64encode(zlib.compress(b"graph" * 1000)[:-6]).decode(),
    "graph": base64.b64encode(zlib.compress(b"no graph")).decode(),
}.items():
    tried(name, nasexport.keras.ArtifactLayer.from_config, {**config, "graph": graph})
writes = open(folder + "/writes/saved_model.pb", "rb").read()
config["graph"] = base64.b64encode(zlib.compress(writes)).decode()
tried("writes", nasexport.keras.ArtifactLayer.from_config, config)
tried("weights", layer.load_own_variables, {})
print(json.dumps(found))
"""


def test_what_it_cannot_load_is_refused(
    cli: Command, artifact: Path, hub_modules: Path, trained: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    module = artifact_folder(hub_modules, "tiny_nasnet", "feature_vector", 3)
    _write_a_graph_that_writes(cli, tmp_path / "writes")
    arguments = (module, artifact, tmp_path, trained[1] / "network.keras")
    said = programs.said(programs.run_with_tensorflow(cli, _REFUSED, *arguments))
    damaged = "the graph in the layer's configuration is damaged: "
    expected = {
        "format": ("ArtifactError", f"{module} is a TF1 Hub module, expected a TF2 SavedModel of version 4 or 5"),
        "momentum": ("ConfigError", "batch_norm_momentum is -1, expected a number from 0 to 1"),
        "nothing": ("ArtifactError", f"there is nothing at {tmp_path / 'nowhere'}"),
        "text": ("ArtifactError", damaged),
        "packed": ("ArtifactError", damaged),
        "cut": ("ArtifactError", f"{damaged}ValueError: it is too large, or cut off"),
        "graph": ("ArtifactError", f"{damaged}it is not a SavedModel's protocol buffer"),
        "writes": ("ArtifactError", "the graph in the layer's configuration was not loaded: WriteFile "),
        "weights": ("ValueError", "the weights have no "),
    }
    assert said.keys() == expected.keys()
    for name, (family, text) in expected.items():
        assert said[name][0] == family and said[name][1].startswith(text), (name, said[name])


_WRITES = """
import sys
import tensorflow as tf

def write():
    tf.io.write_file("written", "text")
    return tf.constant(0)


module = tf.Module()
module.write = tf.function(write, input_signature=[], autograph=False)
tf.saved_model.save(module, sys.argv[1])
print("{}")
"""


def _write_a_graph_that_writes(cli: Command, folder: Path) -> None:
    programs.said(programs.run_with_tensorflow(cli, _WRITES, folder))


_OTHER_BACKEND = """
import nasexport
try:
    nasexport.keras_layer(__import__("sys").argv[1])
except nasexport.errors.MachineError as error:
    print(__import__("json").dumps(str(error)))
"""


def test_another_backend_of_keras_is_refused_by_name(cli: Command, artifact: Path) -> None:
    program = "import keras; keras.backend.backend = lambda: 'jax'\n" + _OTHER_BACKEND
    said = programs.said(programs.run_with_tensorflow(cli, program, artifact))
    assert said.startswith("Keras runs on jax, ") and "KERAS_BACKEND=tensorflow" in said
