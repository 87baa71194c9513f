"""No curve of the report is without a line that says what it is and which way is good."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from i2i.methods import method_names
from i2i.methods._method import Now
from i2i.methods._terms import OTHER_NOTES, TERM_NOTES, WASSERSTEIN, note_of
from i2i.training import tricks
from i2i.training.tricks import TrickSettings
from tests.methods.tiny import BATCH, batch_of, made

WITH = [(name, {}) for name in method_names()]
WITH += [("pix2pix", {"loss": "wasserstein"}), ("cyclegan", {"loss": "wasserstein"}), ("acgan", {"fake_class": 1.0})]
FALLBACK = note_of("G/nobody_explained_this")


def curves(name: str, changes: dict[str, Any], settings: TrickSettings) -> set[str]:
    """The names of all loss terms of six steps."""
    method = made(name, **changes).train()
    tricks.apply(method, settings)
    found = set()
    for step in range(6):
        batch = batch_of(name)
        for optimizer, terms in method.step(batch, Now(images=step * BATCH, total=100 * BATCH, batch=BATCH)):
            found |= {f"{optimizer}/{term}" for term in terms}
    return found


@pytest.mark.parametrize(("name", "changes"), WITH)
def test_every_term_is_explained(name: str, changes: dict[str, Any]) -> None:
    method = made(name, **changes)
    names = curves(name, changes, TrickSettings())
    assert names
    for curve in names:
        note = note_of(curve, method.term_notes)
        assert not note.startswith("A term of what"), curve
        assert note.endswith("."), note
        assert len(note) < 260
    assert set(method.term_notes) <= {part for curve in names for part in (curve, curve.partition("/")[2])} | set(
        WASSERSTEIN if method.term_notes == WASSERSTEIN else ["D/fake_cls"]
    ), "a note that no term has"


def test_the_terms_of_tricks_are_explained() -> None:
    torch.manual_seed(0)
    names = curves("dcgan", {}, TrickSettings(r1=1.0, r1_every=1))
    assert "D/r1" in names
    assert note_of("D/r1") == TERM_NOTES["r1"]


@pytest.mark.parametrize(
    ("name", "key"),
    [("score", "score"), ("images/s", "images/s"), ("rate/G", "rate"), ("samples/spread", "samples/spread")],
)
def test_what_is_no_loss_is_explained_too(name: str, key: str) -> None:
    assert note_of(name) == OTHER_NOTES[key]


def test_notes_go_from_the_most_special_to_the_plainest() -> None:
    assert note_of("G/adv_x") == note_of("G/adv") == TERM_NOTES["adv"]
    assert note_of("G/adv_x", {"adv": "a"}) == "a"
    assert note_of("G/adv_x", {"adv": "a", "G/adv": "b", "adv_x": "c"}) == "c"
    assert note_of("G/adv_x", {"adv": "a", "G/adv_x": "d"}) == "d"
    assert FALLBACK == "A term of what G makes small. Lower is better for G alone."
