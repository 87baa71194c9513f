"""In bf16, channels last, a training step copies no maps from one precision or layout to another."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.core.fast_conv import speed_up
from i2i.nets import build
from i2i.nets.blocks import pad

COPIES = (torch.ops.aten._to_copy, torch.ops.aten.clone, torch.ops.aten.contiguous)


class Copies(TorchDispatchMode):
    """Notes the shapes of tensors that are copied, without parts of wider ones."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        if op.overloadpacket in COPIES:
            x = args[0]
            if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
                self.shapes.append(tuple(x.shape))
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet", {"blocks": 1}),
        ("resnet", {"blocks": 1, "upsample": "resize"}),
        ("resnet", {"blocks": 1, "upsample": "blur", "antialias": True}),
        ("unet", {"depth": 4}),
        ("unet", {"depth": 4, "norm": "instance"}),
        ("patchgan", {"layers": 2}),
        ("patchgan", {"layers": 2, "norm": "batch"}),
    ],
)
def test_a_step_in_bf16_copies_no_maps(name, arguments):
    network = speed_up(build(name, width=4, **arguments)).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    with Copies() as copies:
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        y.float().square().mean().backward()
    batch = [shape for shape in copies.shapes if len(shape) == 4 and shape[0] == len(x)]
    assert not [shape for shape in batch if shape[1] > 3]  # images and scores, at both ends, are few


@pytest.mark.parametrize("mode", ["reflect", "replicate", "constant"])
def test_padding_keeps_the_precision_under_autocast(mode):
    x = torch.randn(1, 2, 4, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = pad(x, (1, 2, 0, 1), mode)
        assert torch.is_autocast_enabled("cpu")
        assert torch.mm(x[0, 0].float(), x[0, 0].float()).dtype == torch.bfloat16
    assert torch.equal(y, torch.nn.functional.pad(x, (1, 2, 0, 1), mode))
