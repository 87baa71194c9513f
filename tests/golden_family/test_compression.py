"""Pruning, self-supervised compression and distillation against stored numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from i2i import nets
from i2i.nets.narrow import copy_channels
from i2i.training.compress import masks
from tests.golden_family.reading import case
from tests.golden_gans.reading import Case, fill


def names_of(net: nn.Module) -> dict[str, str]:
    """The authors' blocks always have a place for dropout, so their second convolution has another number."""
    return {f"model.{i}.conv_block.6": f"model.{i}.conv_block.5" for i in range(10, 19)}


def resnet(kind: str, width: int, options: dict[str, Any]) -> nn.Module:
    """A generator as the authors of gan-compression call it."""
    return nets.build(
        "mobile_resnet" if kind.startswith("mobile") else "resnet",
        channels_in=options["input_nc"],
        channels_out=options["output_nc"],
        blocks=options["n_blocks"],
        width=width,
        norm=options["norm"],
    )


def test_distill_init() -> None:
    golden = case("distill_init")
    options = golden.options
    old = resnet(options["netG"], options["pretrained_ngf"], options)
    student = resnet(options["netG"], options["student_ngf"], options)
    fill(old, golden.under("pretrained."), names_of(old))
    with torch.no_grad():
        copy_channels(old, student)
        found = {"student_fake": student.train()(golden.inputs["x"])}
    back = {ours: theirs for theirs, ours in names_of(student).items()}
    for name, value in student.state_dict().items():
        start = next((s for s in back if name.startswith(s)), None)
        found[f"student.{back[start] + name.removeprefix(start) if start else name}"] = value
    golden.check(found)


def test_agp_schedule() -> None:
    golden = case("agp_schedule")
    o = golden.options
    width, channels, total = o["width"], o["channels"], o["total_steps"]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, width, 3, 2, 1)
            self.mid = nn.Conv2d(width, width, 3, 1, 1)
            self.up = nn.ConvTranspose2d(width, channels, 4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(self.mid(self.conv(x).relu()).relu()).tanh()

    net = Net()
    fill(net, golden.weights)
    pruning = masks.Pruning(net)
    adam = torch.optim.Adam(net.parameters(), o["lr"], tuple(o["betas"]))
    found: dict[str, Tensor] = {}
    losses, counts, shares = [], [], []

    def share(t: int, total: int, start: float, target: float, every: int) -> float:
        return masks.cubic(t, total, start, target, o["end_fraction"], every)

    for t in range(total):
        shares.append(share(t, total, o["start"], o["target"], o["update_every"]))
        pruning.prune(net, shares[-1])
        found |= {f"{t}.mask.{k.replace('/', '.')}": v.clone() for k, v in pruning.named_buffers()}
        loss = fn.l1_loss(net(golden.inputs["x"][t]), golden.inputs["y"][t])
        adam.zero_grad()
        loss.backward()
        adam.step()
        pruning.apply_to(net)
        losses.append(loss.detach())
        counts.append(torch.tensor([int((w != 0).sum()) for w in masks.prunable(net).values()]))
        found |= {f"{t}.after.{k}": v.detach().clone() for k, v in net.named_parameters()}
        found[f"{t}.exp_avg.mid.weight"] = adam.state[net.mid.weight]["exp_avg"].clone()
    found["sparsity"] = torch.tensor(shares, dtype=torch.float64)
    long = [masks.cubic(t, 200, 0.05, o["target"], 0.5, 10) for t in range(200)]
    found["long.sparsity"] = torch.tensor(long, dtype=torch.float64)
    golden.check({**found, "loss": torch.stack(losses), "nonzero": torch.stack(counts)})


def test_pruned_conv_24() -> None:
    golden = case("pruned_conv_24")
    o = golden.options
    found = {f"mask.{name}": masks.two_of_four(w) for name, w in golden.weights.items()}
    conv = nn.Conv2d(o["shapes"]["conv1"][1], o["shapes"]["conv1"][0], o["shapes"]["conv1"][2], bias=False)
    conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
    fill(conv, {"weight": golden.weights["conv1.weight"]})
    pruning = masks.Pruning(conv, "2:4")
    pruning.prune(conv, 0.5)
    found["conv1.out"] = conv(golden.inputs["x"])
    adam = torch.optim.Adam(conv.parameters(), o["lr"], tuple(o["betas"]))
    for _ in range(o["steps"]):
        adam.zero_grad()
        fn.mse_loss(conv(golden.inputs["x"]), golden.inputs["y"]).backward()
        adam.step()
        pruning.apply_to(conv)
    golden.check({**found, "after.conv1.weight": conv.weight})
