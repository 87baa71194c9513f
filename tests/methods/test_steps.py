"""Methods whose models answer in steps: what they refuse, and that their variants learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from i2i.core import config
from i2i.core.errors import I2IError
from i2i.methods import Now, load_method
from tests.methods.tiny import Memory, batch_of, made, settings

FLOW = {"process": "flow"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"process": "bridges"}, "^process is 'bridges'"),
        ({"predict": "v"}, "^predict is 'v' for a bridge"),
        ({**FLOW, "predict": "grad"}, "^predict is 'grad' for a flow"),
        ({**FLOW, "solver": "rk4"}, "^solver is 'rk4' for a flow"),
        ({"course": "cosine"}, "^course is 'cosine' for a bridge"),
        ({"loss": "huber"}, "^loss is 'huber'"),
        ({"times": "normal"}, "^times is 'normal'"),
        ({"channels_in": 1}, "the sides have 1 and 3 channels"),
        ({**FLOW, "channels_in": 1}, "the sides have 1 and 3 channels"),
        ({"size": 17}, "^size is 17, and a U-Net of 2 sizes needs a multiple of 2"),
        ({"groups": 3}, "^width is 8 and groups is 3"),
        ({"head": 3}, "^head is 3, and a map with attention has 16 channels"),
        ({"attention": (3,)}, r"^attention is \[3\]"),
        ({"multiples": (2, 4)}, r"^multiples is \[2, 4\]"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(I2IError, match=what) as refused:
        made("bridge", **changes)
    assert refused.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"predict": "noise", "loss": "l2"},
        {"predict": "ysubx", "course": "sin", "condition": False},
        FLOW,
        {**FLOW, "from_noise": True, "channels_in": 1, "solver": "heun"},
        {**FLOW, "predict": "x", "times": "logit_normal", "sigma": 0.1},
    ],
)
def test_every_variant_learns_and_translates(changes: dict[str, Any]) -> None:
    method = made("bridge", **changes).train()
    batch = Memory("paired", settings(type(method), **changes)[1]).fixed(4)
    optimizer = method.optimizers()["G"]
    values = []
    for _ in range(5):
        ((_, terms),) = method.step(batch, Now())
        values.append(terms["distance"].item())
        terms["distance"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    assert values[-1] < values[0]
    with torch.no_grad():
        images = method.eval().infer(batch)
    assert images.shape == (4, 3, 16, 16)
    assert images.abs().max() <= 1


def test_unsb_refuses_what_it_cannot_do() -> None:
    with pytest.raises(I2IError, match="its sides have 1 and 3 channels"):
        made("unsb", channels_in=1)
    with pytest.raises(I2IError, match=r"^taps is \[13\]") as refused:
        made("unsb", taps=(13,))
    assert refused.value.hint == "Give layers of G by position: 0 to 12."
    with pytest.raises(I2IError, match="the batch is 1") as refused:
        list(made("unsb").step(batch_of("unsb", 1), Now()))
    assert "batch=2" in refused.value.hint


def test_a_bridge_has_some_variance() -> None:
    with pytest.raises(I2IError, match=r"^variance is 0\. Allowed: more than 0"):
        config.resolve({"variance": 0.0}, {"method": load_method("bridge").Config})
