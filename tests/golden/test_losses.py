"""Adversarial losses, the gradient penalty, patch losses: values and gradients."""

import functools

import pytest
import torch

from i2i.losses.adversarial import LOSSES
from i2i.losses.contrastive import patch_losses, patch_nce
from i2i.losses.penalties import gradient_penalty, input_gradient
from i2i.nets.patches import PatchHeads, rows_at, unit_rows
from tests.golden.reading import LOSS_OF, Case, cases, network
from tests.golden_gans.variants import centered_penalty


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
    penalty = gradient_penalty if center == 1 else functools.partial(centered_penalty, center=center)
    real, fake = case["real"], case["fake"]
    for name in case.manifest["values"]:
        place = name.removeprefix("gp_")
        fixed = {"real": torch.ones(len(real)), "fake": torch.zeros(len(real))}
        alpha = fixed[place] if place in fixed else case["alpha"].flatten()
        D.zero_grad()
        value = weight * penalty(D, real, fake, alpha)
        case.close(value, case[name], "value")
        a = alpha.view(-1, 1, 1, 1)
        case.close(input_gradient(D, a * real + (1 - a) * fake), case[f"input_grad_{place}"], "input_grad")
        expected = case.group(f"param_grad_{place}")
        if expected:
            value.backward()
            for key, parameter in D.named_parameters():
                ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                case.close(ours, expected[key], "param_grad", msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("case", [p for p in cases("loss") if "PatchNCE" in p.values[0].entry])
def test_patch_losses(case: Case) -> None:
    given = case.manifest["arguments"]
    for kind, images in (("per_image", given["batch_size"]), ("all_minibatch", 1)):
        q = case["feat_q"].clone().requires_grad_()
        losses = patch_losses(q, case["feat_k"], images, given["nce_T"])
        case.close(losses, case[f"{kind}_loss"], "loss")
        patch_nce(q, case["feat_k"], images, given["nce_T"]).backward()
        assert q.grad is not None
        case.close(q.grad, case[f"{kind}_grad_q"], "grad")


@pytest.mark.parametrize("case", [p for p in cases("module") if "PatchSample" in p.values[0].entry])
def test_patch_heads(case: Case) -> None:
    count = sum(k.startswith("feat_") for k in case.tensors)
    features, places = [case[f"feat_{i}"] for i in range(count)], [case[f"ids_{i}"].long() for i in range(count)]
    heads = PatchHeads([f.shape[1] for f in features], case.manifest["arguments"]["nc"])
    heads.load_state_dict(case.group("state"))
    for i, ours in enumerate(heads(features, places)):
        case.close(ours, case[f"out_{i}"], "out")
        case.close(unit_rows(rows_at(features[i], places[i])), case[f"plain_{i}"], "out")


def test_every_loss_and_module_has_its_test() -> None:
    """No case of these kinds is passed over."""
    known = ("GANLoss", "gradient_penalty", "PatchNCE", "PatchSample")
    odd = [p.id for p in cases("loss", "module") if not any(k in p.values[0].entry for k in known)]
    assert not odd, f"no test reads {odd}"
