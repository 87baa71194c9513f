"""The use case "study read": answer files of people, checked, as fooled rates or preferences with intervals."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from i2i.core.errors import I2IError
from i2i.core.reading import read_json
from i2i.inference.study import read_key
from i2i.inference.study_checks import answers_text, check_of
from i2i.inference.study_sheet import PRACTICE, SCORED, VIGILANCE
from i2i.metrics.study import Bootstrap, Trials, bootstrap, draw_bootstrap, wilson

DRAWS = 10_000  # resampled studies, as in the papers
MOST_DRAWN = 20_000_000  # answers in all resampled studies together; more of them are fewer draws
LEAST_DRAWS = 200
ANSWER = {"trial": str, "left": str, "right": str, "choice": str, "ms": int, "views": int, "practice": bool}
FORM = {
    "i2i study answers": int,
    "study": str,
    "page": int,
    "person": str,
    "name": str,
    "complete": bool,
    "answers": [ANSWER],
    "check": str,
}


@dataclass
class Person:
    """What one answer file says. hits: for each pair of candidates a list of trials, 1 where the target was chosen."""

    person: str
    name: str
    hits: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    attention: list[int] = field(default_factory=list)  # of vigilance trials, 1 where right
    seen_twice: int = 0
    complete: bool = True


def read_answers(
    files: Sequence[str | Path],
    key: str | Path | None = None,
    *,
    attentive: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Reads answer files and computes rates. A file that cannot be used is left out, and "refused" says why.

    key: the key of the study; None: the only *.key.json beside the first file, above it or in the current folder.
    attentive: people whose share of right vigilance trials is below are left out. draws, seed: of the bootstrap.

    Returns {"study", "kind", "people", "answers", "rates", "better", "vigilance", "notes", "refused"}. rates: a row for
    each candidate (`real`: "candidate"; the share of its images that were called real) or each two (`ab`: "a" and "b";
    the share that preferred a), with "hits", "trials", "people", "rate", "deviation", "wilson" (95 % interval of
    independent trials) and "interval" (95 %, bootstrap over people and their trials). better, for `real`: of each two
    candidates the "share" of bootstrap draws in which a fools more often than b.

    Raises I2IError if no file can be used."""
    if not files:
        raise I2IError("No answer file was given.", "Give the files that the study's page has saved.")
    if not 0 <= attentive <= 1:
        raise I2IError(f"The share {attentive} of vigilance trials is impossible.", "Allowed: 0 to 1.")
    if not LEAST_DRAWS <= draws <= 1_000_000:
        raise I2IError(f"{draws} draws of the bootstrap are not possible.", f"Allowed: {LEAST_DRAWS} to 1,000,000.")
    if key is None:
        present = [Path(file) for file in files if Path(file).is_file()]
        if not present:
            raise I2IError(f"There is no file {files[0]}.", "Give the files that the study's page has saved.")
        key = find_key(present[0])
    found = read_key(Path(key))
    people: list[Person] = []
    refused: list[dict[str, str]] = []
    for file in files:
        try:
            one = read_person(Path(file), found)
            if any(other.person == one.person for other in people):
                raise I2IError(f"{file} has the answers of a person whose answers were read already.")
            people.append(one)
        except I2IError as error:
            refused.append({"file": str(file), "error": str(error)})
    if not people:
        raise I2IError(f"No answer file can be used. {refused[0]['error']}")
    return score(found, people, refused, attentive=attentive, draws=draws, seed=seed)


def find_key(answers: Path) -> Path:
    """The only key beside an answer file, in the folder above it, or in the current folder."""
    for folder in (answers.parent, answers.parent.parent, Path()):
        keys = sorted(folder.glob("*.key.json"))
        if len(keys) == 1:
            return keys[0]
        if keys:
            raise I2IError(f"{folder} holds {len(keys)} keys of studies.", f"Name one: --key {keys[0]}")
    raise I2IError("The key of the study is not here.", "Name it: --key study.key.json")


def read_person(path: Path, key: dict[str, Any]) -> Person:
    """The answers of one file. Raises I2IError if it is of another study, was changed, or contradicts itself."""
    again = "Ask for the file that the page has saved."
    answers = read_json(path, FORM)
    if answers["study"] != key["study"] or not 0 <= answers["page"] < len(key["pages"]):
        raise I2IError(f"{path} belongs to another study ({answers['study']}).", "Read it with the key of that study.")
    text = answers_text(key["study"], answers["page"], answers["person"], answers["name"], answers["answers"])
    if check_of(text) != answers["check"]:
        raise I2IError(f"{path} was changed after the page had saved it: its check sum does not fit.", again)
    trials = key["pages"][answers["page"]]
    person = Person(answers["person"], answers["name"], complete=len(answers["answers"]) == len(trials))
    seen: set[str] = set()
    for answer in answers["answers"]:
        trial = trials.get(answer["trial"])
        if trial is None or answer["trial"] in seen:
            problem = "answers a trial twice" if trial else "answers a trial that the study does not have"
            raise I2IError(f"{path} {problem} ({answer['trial']}).", again)
        seen.add(answer["trial"])
        if (
            {answer["left"], answer["right"]} != {trial["target"], trial["other"]}
            or answer["choice"] not in ("left", "right")
            or answer["practice"] != (trial["part"] == PRACTICE)
        ):
            raise I2IError(f"{path} contradicts the study in trial {answer['trial']}.", again)
        _count(person, trial, int(answer[answer["choice"]] == trial["target"]), answer["views"], key["seconds"])
    return person


def _count(person: Person, trial: dict[str, Any], hit: int, views: int, seconds: float) -> None:
    """Adds an answer to those of a person. Practice is never counted."""
    if trial["part"] == PRACTICE:
        return
    if seconds > 0 and views > 1:
        person.seen_twice += 1  # the page was reloaded, so the images were seen for longer than the others
    elif trial["part"] == VIGILANCE:
        person.attention.append(hit)
    elif trial["part"] == SCORED:
        person.hits.setdefault((trial["pair"][0], trial["pair"][1]), []).append(hit)


def score(
    key: dict[str, Any],
    people: Sequence[Person],
    refused: list[dict[str, str]],
    *,
    attentive: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """The rates of people whose answers were read; see `read_answers`."""
    shares = {one.person: sum(one.attention) / len(one.attention) for one in people if one.attention}
    left_out = [one for one in people if shares.get(one.person, 1.0) < attentive]
    counted = [one for one in people if one not in left_out]
    result: dict[str, Any] = {"study": key["study"], "kind": key["kind"], "people": len(counted)}
    result["answers"] = sum(len(hits) for one in counted for hits in one.hits.values())
    rates, resampled = [], {}
    for pair in sorted({pair for one in counted for pair in one.hits}):
        row, spread = rate([one.hits[pair] for one in counted if pair in one.hits], draws, seed)
        rates.append({**_names(key, pair), **row})
        resampled[pair] = spread
    result["rates"] = rates
    result["better"] = _better(key, resampled) if key["kind"] == "real" else []
    right, all_of = sum(sum(one.attention) for one in people), sum(len(one.attention) for one in people)
    result["vigilance"] = {"right": right, "trials": all_of, "left_out": len(left_out)}
    result["notes"] = _notes(people, counted, shares, attentive)
    result["refused"] = refused
    return result


def rate(hits: Sequence[Sequence[int]], draws: int = DRAWS, seed: int = 0) -> tuple[dict[str, Any], Bootstrap]:
    """The share of hits with its intervals, and the bootstrap; hits: for each person a list of 0 and 1."""
    count, total = sum(map(sum, hits)), sum(map(len, hits))
    longest = max(map(len, hits))
    table = torch.tensor([[*one, *[-1] * (longest - len(one))] for one in hits]).T  # [trials, people]
    trials = Trials(torch.zeros_like(table), table, table.clamp_max(0))  # who stopped early has fewer trials
    draws = max(LEAST_DRAWS, min(draws, MOST_DRAWN // table.numel()))
    spread = bootstrap(trials, 1, *draw_bootstrap(trials, draws, seed))
    share, low, high = wilson(count, total)
    row = {"hits": count, "trials": total, "people": len(hits), "rate": share, "wilson": [low, high]}
    row |= {"interval": spread.interval[:, 0].tolist(), "deviation": float(spread.deviation[0])}
    return row, spread


def _names(key: dict[str, Any], pair: tuple[int, int]) -> dict[str, str]:
    names = [key["candidates"][m] for m in pair]
    return {"candidate": names[0]} if key["kind"] == "real" else {"a": names[0], "b": names[1]}


def _better(key: dict[str, Any], resampled: dict[tuple[int, int], Bootstrap]) -> list[dict[str, Any]]:
    """How often each candidate fools more people than each other one, over the bootstrap draws."""
    rows = []
    for a, b in itertools.combinations(resampled, 2):
        n = min(len(resampled[a].rates), len(resampled[b].rates))
        both = Bootstrap(torch.cat([resampled[a].rates[:n], resampled[b].rates[:n].flip(0)], 1))
        names = {"a": key["candidates"][a[0]], "b": key["candidates"][b[0]]}
        rows.append({**names, "share": float(both.better()[0, 1])})
    return rows


def _notes(
    people: Iterable[Person], counted: Sequence[Person], shares: dict[str, float], attentive: float
) -> list[str]:
    people = list(people)
    notes = []
    unfinished = sum(not one.complete for one in people)
    if unfinished:
        notes.append(f"{unfinished} of {len(people)} people did not finish; their answers so far count.")
    if twice := sum(one.seen_twice for one in people):
        notes.append(f"{twice} answers are left out: the page was reloaded, and the images were seen twice.")
    if attentive and len(counted) < len(people):
        notes.append(f"{len(people) - len(counted)} people are left out: too few vigilance trials were right.")
    elif low := sum(share < 0.8 for share in shares.values()):
        notes.append(
            f"{low} of {len(people)} people had less than 80 % of the vigilance trials right; leave them out with "
            "--attentive 0.8."
        )
    if len(counted) == 1:
        notes.append("One person says nothing about people: the bootstrap interval is that of this person's trials.")
    return notes
