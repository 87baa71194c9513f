"""Networks: one forward pass in eval and in train mode, and recognition from keys and shapes."""

import pytest
import torch
from torch import nn

from i2i.models.pth import recognize
from tests.golden.reading import Case, cases, network


@pytest.mark.parametrize("case", cases("forward"))
def test_output(case: Case) -> None:
    net = network(case.manifest["network"], case.cut)
    net.load_state_dict(case.group("state"))
    with torch.no_grad():
        case.close(net.eval()(case["input"]), case["output"], "output")
        layers = sorted(int(k.removeprefix("feature_")) for k in case.tensors if k.startswith("feature_"))
        if layers:
            for layer, ours in zip(layers, net(case["input"], layers), strict=True):
                case.close(ours, case[f"feature_{layer}"], "feature", msg=lambda m, layer=layer: f"layer {layer}: {m}")
        if "output_train" in case.tensors:
            net.train()
            for module in net.modules():  # its random draws are not part of the case
                if isinstance(module, nn.Dropout):
                    module.eval()
            case.close(net(case["input"]), case["output_train"], "output_train")
    state = net.state_dict()
    for key, value in case.group("state_after_train").items():
        case.close(state[key].float(), value.float(), "output_train", msg=key)


@pytest.mark.parametrize("case", cases("forward"))
def test_recognised(case: Case) -> None:
    net = network(case.manifest["network"], case.cut)
    _, arguments = recognize(case.group("state"))
    expected = dict(net.arguments)
    if case.manifest["network"].get("netG", "").startswith("unet"):
        expected["dropout"] = False  # leaves no trace in the keys
    assert arguments == expected
