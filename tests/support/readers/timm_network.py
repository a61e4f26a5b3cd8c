"""Loads a folder with ``timm.create_model``, in each way that its users have, and runs it.

    python timm_network.py ARTIFACT FOLDER [ARTIFACT FOLDER]... POOLS

FOLDER holds ``input.npz`` with ``images``, float32 [batch, size, size, 3] in [0, 1]. POOLS is the file with
``correct_average_pools``. The outputs go to ``output.npz`` beside the images: ``shipped`` is what timm gives,
``end_point/NAME`` what it gives with the pools corrected, feature maps as [batch, height, width, channels]. Facts go to
standard output as JSON, in a line for each artifact.
"""

import importlib.util
import json
import os
import sys

import numpy as np
import torch

# torchvision, which timm imports, declares what these compute only where it finds the kernels of the very torch that it
# was built with, and fails to be imported elsewhere. Nothing here calls them.
_TORCHVISION = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _TORCHVISION.define("%s(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" % _name)

import timm  # noqa: E402
import timm.data  # noqa: E402


def normalized(model, images):
    """The images as timm's own transforms would give them, but for the crop."""
    config = timm.data.resolve_model_data_config(model)
    mean, std = (np.array(config[name], np.float32) for name in ("mean", "std"))
    return torch.from_numpy(np.ascontiguousarray(((images - mean) / std).transpose(0, 3, 1, 2)))


def run(model, images):
    with torch.inference_mode():
        return model(normalized(model, images)).numpy()


def end_points(model, images):
    found, modules = {}, dict(model.named_modules())

    def keep(name):
        return lambda module, inputs, output: found.update({name: output.clone().numpy().transpose(0, 2, 3, 1)})

    for name, module in modules.items():
        if name == "cell_stem_1":
            module.register_forward_hook(keep("Stem"))
        elif "cell_" in name and "." not in name and "stem" not in name:
            module.register_forward_hook(keep(name.title()))
    run(model, images)
    return found


def create(source, **options):
    return timm.create_model(source, pretrained=True, **options).eval()


def main(path, folder, pools):
    spec = importlib.util.spec_from_file_location("pools", pools)
    corrections = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corrections)
    torch.set_num_threads(1)
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    source = "local-dir:" + path
    model = create(source)
    arrays = {"shipped": run(model, images)}
    facts = {
        "timm": timm.__version__,
        "torch": torch.__version__,
        "classes": model.num_classes,
        "labels": [(model.pretrained_cfg.get("label_names") or [None])[0]],
        "data": {key: str(value) for key, value in timm.data.resolve_model_data_config(model).items()},
        "batches": sorted({int(v) for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}),
        "corrected": corrections.correct_average_pools(model),
    }
    arrays["corrected"] = run(model, images)
    arrays["single"] = run(model, images[:1])
    arrays.update(("end_point/" + name, value) for name, value in end_points(model, images).items())
    if model.num_classes:
        rows = dict(num_classes=1001, pretrained_cfg_overlay=dict(num_classes=1001, label_offset=0))
        for name, options in {"features": dict(num_classes=0), "all_rows": rows}.items():
            model = create(source, **options)
            corrections.correct_average_pools(model)
            arrays[name] = run(model, images)
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    print(json.dumps(facts))


if __name__ == "__main__":
    *places, pools = sys.argv[1:]
    for place in range(0, len(places), 2):
        main(*places[place : place + 2], pools)
