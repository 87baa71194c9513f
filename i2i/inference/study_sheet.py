"""The plan of a human study: which images are seen together, and the key that says which is which.

Protocols of the pix2pix and CycleGAN papers. `real`: a real image and a made one for a second; which one is real? One
algorithm a session, so each candidate has a page of its own. `ab`: the outputs of two candidates; which one is better?
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any

from i2i.core.errors import I2IError

KINDS = ("real", "ab")
PRACTICE, SCORED, VIGILANCE = "practice", "scored", "vigilance"
REAL, INPUT, SPOILT = "real", "input", "spoilt"  # what an image may be beside an output of a candidate


@dataclass(frozen=True)
class Picture:
    """An image of a study. role: REAL, INPUT, "output" of the candidate, or SPOILT (its output as a mosaic)."""

    index: int
    role: str
    candidate: int = -1


@dataclass(frozen=True)
class Trial:
    """Two images that are seen together, by their ids.

    part: PRACTICE, SCORED or VIGILANCE. target: the image whose choice counts: the made one (a person is fooled), the
    output of the first candidate (it is preferred), or the right answer of practice and vigilance. pair: numbers of the
    two candidates; twice the same for `real`. above: id of the input shown above, or ""."""

    id: str
    part: str
    target: str
    other: str
    pair: tuple[int, int]
    above: str = ""


@dataclass
class Sheet:
    """One page: its trials, and the images they show by id."""

    trials: list[Trial] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)


class Planner:
    """Draws a study: a pure function of its arguments.

    kind: of KINDS. candidates, count: numbers of candidates and inputs. paired: a fake is seen beside the real image of
    the same input, else beside any of `reals` real images. above: show the input above two outputs."""

    def __init__(
        self, kind: str, candidates: int, count: int, reals: int, paired: bool, above: bool, seed: int
    ) -> None:
        self.kind, self.candidates, self.count = kind, candidates, count
        self.reals, self.paired, self.above = reals, paired, above
        self.random = random.Random(f"i2i study {seed}")
        self.ids: dict[Picture, str] = {}
        self.taken: set[str] = set()

    def sheets(self, practice: int, scored: int, vigilance: int) -> list[Sheet]:
        """A sheet for each candidate in a random order (`real`), or one sheet for all pairs of candidates (`ab`).

        The numbers of trials are those of `fitting_lengths`."""
        if self.kind == "ab":
            pairs = list(itertools.combinations(range(self.candidates), 2))
            return [self._sheet(pairs, practice, scored, vigilance)]
        order = self.random.sample(range(self.candidates), self.candidates)
        return [self._sheet([(m, m)], practice, scored, vigilance) for m in order]

    def _sheet(self, pairs: list[tuple[int, int]], practice: int, scored: int, vigilance: int) -> Sheet:
        sheet = Sheet()
        chances = [(i, pair) for i in range(self.count) for pair in pairs]
        self.random.shuffle(chances)
        # As many trials of each pair as of any other, and of different inputs where there are enough.
        rounds = [[chance for chance in chances if chance[1] == pair] for pair in pairs]
        chances = [chance for turn in zip(*rounds, strict=True) for chance in turn]
        parts = [PRACTICE] * practice + [SCORED] * scored
        for part, (i, pair) in zip(parts, chances, strict=False):
            sheet.trials.append(self._trial(sheet, part, i, pair))
        for i, pair in self.random.choices(chances, k=vigilance):
            sheet.trials.append(self._trial(sheet, VIGILANCE, i, pair))
        # The order on the disk says nothing: trials and images are sorted by their random ids.
        sheet.trials.sort(key=lambda trial: (trial.part != PRACTICE, trial.id))
        sheet.pictures = dict(sorted(sheet.pictures.items()))
        return sheet

    def _trial(self, sheet: Sheet, part: str, i: int, pair: tuple[int, int]) -> Trial:
        first, second = pair
        above = self._add(sheet, Picture(i, INPUT)) if self.above else ""
        if self.kind == "real":
            real = self._add(sheet, Picture(i if self.paired else self.random.randrange(self.reals), REAL))
            role = SPOILT if part == VIGILANCE else "output"
            fake = self._add(sheet, Picture(i, role, first))
            target, other = (fake, real) if part == SCORED else (real, fake)
        elif part == SCORED:
            target = self._add(sheet, Picture(i, "output", first))
            other = self._add(sheet, Picture(i, "output", second))
        else:  # there is no truth between two outputs; there is between an output and a spoilt one
            m = self.random.choice(pair)
            target = self._add(sheet, Picture(i, "output", m))
            other = self._add(sheet, Picture(i, SPOILT, m))
        return Trial(self._new_id(), part, target, other, pair, above)

    def _add(self, sheet: Sheet, picture: Picture) -> str:
        if picture not in self.ids:
            self.ids[picture] = self._new_id()
        sheet.pictures[self.ids[picture]] = picture
        return self.ids[picture]

    def _new_id(self) -> str:
        while (new := f"{self.random.getrandbits(40):010x}") in self.taken:
            pass
        self.taken.add(new)
        return new


def fitting_lengths(chances: int, practice: int, scored: int, vigilance: int) -> tuple[int, int, int, str]:
    """The numbers of trials that `chances` different trials allow, and a note for the user or "".

    Raises I2IError if none could be scored."""
    if scored < 1 or practice < 0 or vigilance < 0:
        raise I2IError(
            f"{scored} scored, {practice} practice and {vigilance} vigilance trials cannot be shown.",
            "At least 1 scored trial, and 0 or more of the others.",
        )
    if chances >= practice + scored:
        return practice, scored, vigilance, ""
    few = min(practice, chances // 6)
    if chances - few < 1:
        raise I2IError("There is no image for a trial.", "Give more images.")
    fewer = min(scored, chances - few)
    note = f"{chances} different trials can be made of these images: {few} for practice, {fewer} scored"
    wanted = f"{practice} and {scored} were asked for"
    return few, fewer, min(vigilance, fewer), f"{note} ({wanted})."


def key_of(sheets: list[Sheet]) -> list[dict[str, Any]]:
    """What the key holds of each page: the trials by id."""
    return [
        {t.id: {"part": t.part, "target": t.target, "other": t.other, "pair": list(t.pair)} for t in sheet.trials}
        for sheet in sheets
    ]
