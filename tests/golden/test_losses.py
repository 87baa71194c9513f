"""Adversarial losses and the gradient penalty: values and gradients."""

import pytest
import torch

from i2i.losses.adversarial import LOSSES
from i2i.losses.penalties import gradient_penalty, slope
from tests.golden.reading import LOSS_OF, PATCHES, Case, cases, network


@pytest.mark.parametrize("case", [p for p in cases("loss") if "GANLoss" in p.values[0].entry])
def test_adversarial(case: Case) -> None:
    for name in case.manifest["values"]:
        mode, side = name.rsplit("_", 1)
        loss = LOSSES[LOSS_OF[mode]]
        scores = case["prediction"].clone().requires_grad_()
        value = (loss.real if side == "real" else loss.fake)(scores)
        value.backward()
        case.close(value, case[name], "value")
        assert scores.grad is not None
        case.close(scores.grad, case[f"{name}_grad"], "grad")


@pytest.mark.parametrize("case", [p for p in cases("loss") if "gradient_penalty" in p.values[0].entry])
def test_gradient_penalty(case: Case) -> None:
    D = network(case.manifest["network"])
    D.load_state_dict(case.group("state"))
    D.train(case.manifest["network"].get("mode", "train") == "train")
    weight, center = case.manifest["arguments"]["lambda_gp"], case.manifest["arguments"]["constant"]
    real, fake = case["real"], case["fake"]
    for name in case.manifest["values"]:
        place = name.removeprefix("gp_")
        fixed = {"real": torch.ones(len(real)), "fake": torch.zeros(len(real))}
        alpha = fixed[place] if place in fixed else case["alpha"].flatten()
        D.zero_grad()
        value = weight * gradient_penalty(D, real, fake, alpha, center)
        case.close(value, case[name], "value")
        a = alpha.view(-1, 1, 1, 1)
        case.close(slope(D, a * real + (1 - a) * fake), case[f"input_grad_{place}"], "input_grad")
        expected = case.group(f"param_grad_{place}")
        if expected:
            value.backward()
            for key, parameter in D.named_parameters():
                ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                case.close(ours, expected[key], "param_grad", msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("case", [p for p in cases("loss", "module") if p.values[0].cut])
def test_patches(case: Case) -> None:
    pytest.skip(PATCHES)
