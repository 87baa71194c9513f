"""A class written for an earlier version of the contract is understood, and told the new names."""

import pytest
import torch
from torch import nn

from i2i.core.errors import I2IError
from i2i.data.batch import Shape
from i2i.methods import Method


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("rate", "lr_factor", lambda self, fraction: 1.0 - fraction),
        ("critics", "discriminators", ("D",)),
        ("local", "per_process_note", "the mean"),
        ("titles", "class_titles", ("cat", "dog")),
    ],
)
def test_an_old_name_is_honoured_with_a_warning_that_names_the_file_and_the_new_name(old, new, value):
    with pytest.warns(FutureWarning, match=f"Mine in .*test_renamed.py defines '{old}', which is now called '{new}'"):
        kind = type("Mine", (Method,), {old: value, "__module__": __name__})
    method = kind(None, Shape())
    if old == "rate":
        assert method.lr_factor(0.25) == 0.75
    else:
        assert getattr(method, new) == value


def test_an_old_and_a_new_name_together_are_refused():
    with pytest.raises(I2IError, match="defines both 'rate' and 'lr_factor'"):
        type("Mine", (Method,), {"rate": None, "lr_factor": None, "__module__": __name__})


def test_a_network_under_a_name_of_the_contract_is_refused():
    """A class attribute would hide it: `self.discriminators` would go on to be the empty tuple."""

    class Mine(Method):
        def __init__(self):
            super().__init__(None, Shape())
            self.loss = nn.MSELoss()  # no network of the contract, and not hidden
            self.discriminators = nn.ModuleList([nn.Linear(1, 1)])

    with pytest.raises(I2IError, match="calls a network 'discriminators', a name that Method uses itself"):
        Mine()


def test_a_loss_may_be_a_module():
    method = Method(None, Shape())
    assert method.loss is None
    method.loss = nn.MSELoss()
    assert method.loss(torch.ones(1), torch.zeros(1)) == 1
