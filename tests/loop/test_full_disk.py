"""What cannot be written is said; training goes on as long as that makes sense."""

import pytest
from safetensors import SafetensorError

from i2i.core.errors import I2IError
from i2i.training import checkpoint
from tests.loop.toy import toy_loop, weights

FULL = SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full for as long as `full` says."""

    class Disk:
        full = staticmethod(lambda path: False)

    write = checkpoint.save_file

    def save_file(tensors, path):
        if Disk.full(path):
            path.write_bytes(b"half")
            raise FULL
        write(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    return Disk


def test_training_goes_on_and_says_so(tmp_path, disk):
    disk.full = lambda path: "000016" in str(path)
    loop = toy_loop(tmp_path)
    assert loop.run() == 32
    (failure,) = [line for line in loop.watch.lines if line["kind"] == "save failed"]
    assert failure["images"] == 16
    assert "No space left" in failure["error"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"{n:012d}" for n in (8, 24, 32)]


def test_a_model_that_cannot_be_written_does_not_stop_training_either(tmp_path):
    def finish(method, images):
        if images == 8:
            raise I2IError("model.safetensors cannot be written.")

    loop = toy_loop(tmp_path, total=16)
    loop.finish = finish
    assert loop.run() == 16
    assert loop.watch.kinds().count("save failed") == 1


def test_an_end_that_cannot_be_saved_is_an_error_and_can_be_resumed(tmp_path, disk):
    disk.full = lambda path: "000032" in str(path)
    with pytest.raises(I2IError, match=r"state at 32 images could not be saved.*No space left.*Make room"):
        toy_loop(tmp_path).run()
    disk.full = lambda path: False
    again = toy_loop(tmp_path)
    again.run()
    whole = toy_loop(tmp_path / "whole")
    whole.run()
    assert {k: v.tolist() for k, v in weights(again).items()} == {k: v.tolist() for k, v in weights(whole).items()}


def test_a_stop_that_cannot_be_saved_does_not_claim_to_be(tmp_path, disk):
    disk.full = lambda path: True
    loop = toy_loop(tmp_path)
    loop.signal = 15
    with pytest.raises(I2IError, match="state at 4 images could not be saved") as caught:
        loop.run()
    assert caught.value.code == 1
