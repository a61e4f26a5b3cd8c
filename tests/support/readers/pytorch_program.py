"""Loads ``model.pt2`` with PyTorch alone, and runs it.

    python pytorch_program.py ARTIFACT FOLDER [ARTIFACT FOLDER]...

FOLDER holds ``input.npz`` with ``images``, float32 [batch, size, size, 3] in [0, 1]. To ``output.npz`` beside it go
``output``, ``single`` (of the first image alone), ``end_point/NAME``, feature maps as [batch, height, width, channels],
and ``state/NAME``, the values of small networks; facts go to standard output as JSON, in a line for each artifact.
"""

import json
import os
import sys

import numpy as np
import torch


class Keeping(torch.fx.Interpreter):
    """Runs a program, and keeps what some of its nodes compute."""

    def __init__(self, module, names):
        super().__init__(module)
        self.names, self.kept = names, {}

    def run_node(self, node):
        value = super().run_node(node)
        if node.name in self.names:
            self.kept[node.name] = value.detach().numpy()
        return value


def main(path, folder):
    torch.set_num_threads(1)
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = torch.from_numpy(file["images"])
    extra = {"usage.json": ""}
    program = torch.export.load(os.path.join(path, "model.pt2"), extra_files=extra)
    usage = json.loads(extra["usage.json"])
    module = program.module()
    with torch.no_grad():
        arrays = {"output": module(images).numpy(), "single": module(images[:1]).numpy()}
        keeping = Keeping(module, set(usage["end_points"].values()))
        keeping.run(images)
    for name, node in usage["end_points"].items():
        value = keeping.kept[node]
        arrays["end_point/" + name] = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
    module(images[:1]).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    state = module.state_dict()
    if sum(value.numel() for value in state.values()) < 1e6:
        arrays.update(("state/" + name, value.numpy()) for name, value in state.items())
    try:
        module.train()
        trains = True
    except NotImplementedError:
        trains = False
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    facts = {
        "torch": torch.__version__,
        "usage": usage,
        "parameters": sorted(name for name, _ in module.named_parameters()),
        "buffers": sorted(name for name, _ in module.named_buffers()),
        "without_gradient": [name for name, value in gradients.items() if value is None],
        "not_finite": [n for n, v in gradients.items() if v is not None and not bool(torch.isfinite(v).all())],
        "trains": trains,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    for place in range(1, len(sys.argv), 2):
        main(*sys.argv[place : place + 2])
