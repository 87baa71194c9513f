"""Learning rates: the reference sets one an epoch; our curves, sampled at those moments, give the same."""

from typing import Any

import pytest
import torch

from i2i.methods._optim import cosine, linear, steps
from tests.golden.reading import Case, cases


def factor(options: dict[str, Any], made: int) -> float:
    """Factor on the rate after `made` steps of the reference's scheduler, by our curves of time in epochs."""
    policy = options["lr_policy"]
    if policy == "linear":
        hold, down = options["n_epochs"], options["n_epochs_decay"]
        return linear(made + options.get("epoch_count", 1), hold, hold + down + 1)
    if policy == "step":
        return steps(made, every=options["lr_decay_iters"], factor=0.1)
    if policy == "cosine":
        return cosine(made, end=options["n_epochs"])
    assert policy == "plateau", f"unknown policy {policy}"
    # Its metric never changes, so it waits for 5 epochs without improvement, again and again; it stops where a step
    # would change the rate by less than 1e-8.
    while made and options["lr"] * 0.8 * steps(made - 1, every=6, factor=0.2, hold=1) <= 1e-8:
        made -= 1
    return steps(made, every=6, factor=0.2, hold=1)


@pytest.mark.parametrize("case", cases("lr_schedule"))
def test_rates(case: Case) -> None:
    for sequence in case.manifest["sequences"]:
        options = sequence["options"]
        ahead = 1 if "start" in sequence.get("scheduler_stepped", "at the end") else 0
        theirs = case.tensors[sequence["name"]]
        ours = [options["lr"] * factor(options, epoch + ahead) for epoch in range(len(theirs))]
        case.close(torch.tensor(ours, dtype=torch.float64), theirs, "lr", msg=lambda m, s=sequence: f"{s['name']}: {m}")
