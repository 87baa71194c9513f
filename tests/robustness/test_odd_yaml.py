"""A recipe may hold anything: it is refused in one short sentence, and soon."""

import time

import pytest

from i2i.core.errors import I2IError
from i2i.training import resolve

LAUGHS = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "norm: &a [x,x,x,x]\nblocks: [*a,*a,*a]",
        "norm: &a [*a]",
        "norm: " + "[" * 3000 + "]" * 3000,
        "norm: " + "{a: " * 3000 + "}" * 3000,
        b"norm: batch # \xe9",
        "norm: x".encode("utf-16"),
        "layers: 2020-01-01",
        "layers: 2020-01-01 10:00:00",
        "layers: " + "9" * 4000,
        "layers: 0x" + "f" * 20_000,
        "layers: .inf",
        "epochs: .nan",
        "layers: 1e400",
        "layers: !!set {a, b}",
        "layers: !!binary aGVsbG8=",
        "layers: !!python/name:os.system",
        "norm: '" + "y" * 100_000 + "'",
        "norm: [" + "1," * 50_000 + "]",
        "blocks: {a: {b: [1, 2]}}",
        "1: 2",
        "? [1, 2]\n: 3",
        "data: 5",
        "data: {a: 1}",
        "data: [[1]]",
        "<<: [1]",
        "---\nmethod: x",
    ],
)
def test_odd_recipes_are_one_short_sentence(tmp_path, text):
    path, begun = tmp_path / "r.yaml", time.process_time()
    path.write_bytes(b"method: pix2pix\n" + (text if isinstance(text, bytes) else text.encode()))
    with pytest.raises(I2IError) as caught:
        resolve.resolve_run(str(path), [str(tmp_path)] if b"data:" not in path.read_bytes() else None)
    assert len(str(caught.value).replace(str(path), "")) < 700
    assert time.process_time() - begun < 10


def test_lists_and_texts_of_settings_have_a_largest_length(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("method: gan\nhidden: [" + "1," * 1001 + "]")
    with pytest.raises(I2IError, match=r"hidden is \[1, 1, 1, 1, 1, 1, \.\.\.\]\. Allowed: up to 1000 values"):
        resolve.resolve_run(str(path), [str(tmp_path)])
    path.write_text("method: pix2pix\nnorm: '" + "y" * 5000 + "'")
    with pytest.raises(I2IError, match=r"Allowed: up to 4096 characters"):
        resolve.resolve_run(str(path), [str(tmp_path)])
