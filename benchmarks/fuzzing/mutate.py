"""Changes of seeds: of bytes, of JSON values and of texts. All of them depend on a random.Random alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import hypothesis
from hypothesis import strategies as st

NUMBERS = [0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64]
ODD: list[Any] = [
    *(None, True, False, *NUMBERS, -(2**31), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), float("-inf"), "", "G", "0", "1", "-1", "nan", "1e999", "none", "../../x", "/", "."),
    *("\0", "\ud800", "\u202e", "é", "x" * 5000, "%s{0}<b>|\n#", "a.py", "https://127.0.0.1:1/x", "hf:a/b"),
    *(
        [],
        {},
        [[]],
        [None],
        [0],
        [-1],
        ["a"],
        {"": 0},
        {"a": {}},
        [1e9, 1],
        [[1, 2], [3]],
        ["normal", 4],
        [["normal", 4]],
    ),
]
PARTS = 400  # of a JSON value: larger ones are not made


# ---- bytes -------------------------------------------------------------------------------------------------------


def mutate(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` after one change or several: of bits, of numbers, of ranges, which are cut, doubled, moved or replaced."""
    array = bytearray(data)
    for _ in range(min(8, 1 + int(random.expovariate(0.7)))):
        _change(array, random, others)
    return bytes(array)


def _change(array: bytearray, random: Random, others: Sequence[bytes]) -> None:
    kind = random.randrange(11)
    size = len(array)
    at = random.randrange(size) if size else 0
    if random.random() < 0.5:  # heads matter most
        at = min(at, random.randrange(64)) if size else 0
    length = min(size - at, random.choice((1, 2, 4, 8, 16, 64, 256)))
    if kind == 0 and size:
        array[at] ^= 1 << random.randrange(8)
    elif kind == 1 and size:
        array[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    elif kind in (2, 3):  # a number of 2, 4 or 8 bytes
        width = random.choice((2, 4, 8))
        number = random.choice(NUMBERS) if random.random() < 0.7 else size + random.randrange(-8, 9)
        array[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, random.choice(("big", "little")))
    elif kind == 4:
        array[at:at] = random.randbytes(length or 1)
    elif kind == 5:
        del array[at : at + length]
    elif kind == 6:
        array[at:at] = array[at : at + length] * random.choice((1, 2, 30))
    elif kind == 7 and size:
        del array[random.randrange(size) :]
    elif kind == 8:
        array[at : at + length] = bytes(length)
    elif kind == 9 and others:  # the beginning of one, the end of another
        other = random.choice(others)
        array[at:] = other[min(len(other), at + random.randrange(-4, 5)) if at > 4 else 0 :]
    elif size:  # a range goes elsewhere
        part = bytes(array[at : at + length])
        to = random.randrange(size)
        array[to : to + length] = part


# ---- JSON --------------------------------------------------------------------------------------------------------


def json_values() -> st.SearchStrategy[Any]:
    """Any value that JSON can hold, and some that it should not: lone surrogates, NaN, whole numbers of any length."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD)
    return st.recursive(leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=8), v, max_size=4))


def examples(strategy: st.SearchStrategy[Any], seed: int, count: int = 100) -> list[Any]:
    """`count` values of a hypothesis strategy, the same for each seed."""
    values: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(value: Any) -> None:
        values.append(value)

    collect()
    return values


def mutate_json(value: Any, random: Random, odd: Sequence[Any] = ODD) -> Any:
    """A copy of a JSON value after one to three changes: of a value, a key, a type, a depth, an order."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places or random.random() < 0.02:
            value = random.choice([*odd, [value], {"a": value}])
            continue
        holder, key = random.choice(places)
        kind = random.randrange(8)
        if kind <= 3:
            holder[key] = copy.deepcopy(random.choice(odd))
        elif kind == 4:
            holder.pop(key)
        elif kind == 5:  # another type, or a deeper one
            old = holder[key]
            holder[key] = random.choice(([old], {"a": old}, str(old), [old] * 5, [old, None], _nested(old, 60)))
        elif kind == 6:  # a value from elsewhere
            other, name = random.choice(places)
            if len(json.dumps(other[name], default=str)) < PARTS:
                holder[key] = copy.deepcopy(other[name])
        elif isinstance(holder, dict):
            holder[random.choice(("", "images", str(random.choice(odd))[:40]))] = copy.deepcopy(random.choice(odd))
        else:
            holder.insert(random.randrange(len(holder) + 1), copy.deepcopy(random.choice(odd)))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value within a JSON value."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo and len(found) < 5 * PARTS:
        holder = todo.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            found.append((holder, key))
            todo.append(holder[key])
    return found


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def mutate_text(text: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """A text of lines after a change of its bytes, of its lines or of a number in it; or one that nests deeply."""
    kind = random.randrange(8)
    lines = text.split(b"\n")
    at = random.randrange(len(lines))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, random.choice(lines))
    elif kind == 2 and others:
        lines[at] = random.choice(random.choice(others).split(b"\n"))
    elif kind == 3:
        deep = random.choice((b"[", b'{"a":', b"- ", b"{", b"&a [*a, ", b"? ")) * random.choice((3, 60, 3000, 100_000))
        lines[at] = lines[at] + deep if random.random() < 0.5 else deep
    elif kind == 4:
        name, sign, _ = lines[at].partition(b":")
        value = random.choice(ODD)
        written = json.dumps(value) if random.random() < 0.5 else str(value)[:6000]
        lines[at] = name + sign + b" " + written.encode("utf-8", "surrogatepass")
    elif kind == 5:
        lines[at] += random.choice((b"\xff", b"\0", b"\xed\xa0\x80", b"\xc3", b"\x1b[31m", b"\r", b"\t", b" #", b": :"))
    else:
        return mutate(text, random, others)
    return b"\n".join(lines)
