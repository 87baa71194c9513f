"""What the user should know of an output, although it was made: notes that stand beside outcomes."""

from __future__ import annotations

from i2i.inference.outputs import WRITABLE
from i2i.inference.results import Outcome
from i2i.inference.workers import Work
from i2i.media.palette import OUTSIDE, outside_note
from i2i.models.translator import Translator


def with_format(outcome: Outcome) -> Outcome:
    """An outcome whose note says why its output is a PNG file, if nobody has asked for that."""
    before, after = outcome.source.suffix.lower(), outcome.target.suffix.lower()
    if outcome.state != "done" or after != ".png" or (before in WRITABLE and before != ".gif"):
        return outcome
    if before == ".gif":
        why = "Written as PNG, because GIF has 256 colors, and the image is no animation (--format gif keeps GIF)."
    else:
        why = f"Written as PNG, because {before or 'its format'} is not written."
    return outcome.with_note(f"{outcome.note} {why}".strip())


def with_totals(outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes with one sentence for all label maps that have colors outside of the palette."""
    found = [OUTSIDE.search(outcome.note) for outcome in outcomes]
    counts = [tuple(int(m[k].replace(",", "")) for k in (1, 2)) for m in found if m]
    if len(counts) < 2:
        return outcomes
    first = next(m for m in found if m)
    whole = outside_note(sum(n for n, _ in counts), sum(n for _, n in counts), first[3], len(counts))
    return [
        outcome.with_note(outcome.note.replace(m[0], whole)) if m else outcome
        for outcome, m in zip(outcomes, found, strict=True)
    ]


def with_domain(outcome: Outcome, work: Work) -> Outcome:
    """An outcome whose note names the domain, if the model has several and the user chose none."""
    if outcome.state != "done" or not isinstance(work.model, Translator) or work.model.choice.to:
        return outcome
    domains = getattr(work.model.saved_network, "domains", ())
    if not domains:
        return outcome
    note = f"Translated into {domains[0]}, the first of {len(domains)} domains (--to chooses others)."
    return outcome.with_note(f"{outcome.note} {note}".strip())
