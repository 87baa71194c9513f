"""What cannot be written is said; training goes on as long as that makes sense."""

import pytest
from safetensors import SafetensorError

from i2i.core.errors import I2IError
from i2i.training import checkpoint
from tests.training.toy import stopped_in_its_first_step, toy_loop, weights

FULL = SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full for as long as `full` says."""

    class Disk:
        full = staticmethod(lambda path: False)

    write, save = checkpoint.save_file, checkpoint.save
    target = []

    def save_to(folder, images, *parts):
        target[:] = [checkpoint.path_of(folder, images)]
        return save(folder, images, *parts)

    def save_file(tensors, path):
        if Disk.full(target[0]):
            path.write_bytes(b"half")
            raise FULL
        write(tensors, path)

    monkeypatch.setattr(checkpoint, "save", save_to)
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    return Disk


def test_training_goes_on_and_says_so(tmp_path, disk):
    disk.full = lambda path: "000016" in str(path)
    loop = toy_loop(tmp_path)
    assert loop.run() == 32
    (failure,) = [line for line in loop.observer.lines if line["kind"] == "save failed"]
    assert failure["images"] == 16
    assert "No space left" in failure["error"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"{n:012d}" for n in (8, 24, 32)]


def test_a_model_that_cannot_be_written_does_not_stop_training_either(tmp_path):
    def save_model(method, images):
        if images == 8:
            raise I2IError("model.safetensors cannot be written.")

    loop = toy_loop(tmp_path, total=16, save_model=save_model)
    assert loop.run() == 16
    (failure,) = [line for line in loop.observer.lines if line["kind"] == "save failed"]
    words = "the model could not be written; the checkpoint was written: model.safetensors cannot be written."
    assert failure["error"] == words
    assert [line["images"] for line in loop.observer.lines if line["kind"] == "saved"] == [8, 16]


def refuse(error):
    def save_model(method, images):
        raise I2IError("model.safetensors cannot be written.", "Look at it.") from error

    return save_model


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (OSError(28, "No space left on device"), "Free some space in FOLDER. Then run: i2i train --resume FOLDER"),
        (PermissionError(13, "Permission denied"), "Make FOLDER writable. Then run: i2i train --resume FOLDER"),
        (OSError(30, "Read-only file system"), "Make FOLDER writable. Then run: i2i train --resume FOLDER"),
        (None, "Look at it. Then run: i2i train --resume FOLDER"),
    ],
)
def test_the_end_says_what_was_not_written_and_what_helps(tmp_path, disk, error, hint):
    with pytest.raises(I2IError) as caught:
        toy_loop(tmp_path, save_model=refuse(error)).run()
    words = "At 32 images the model could not be written; the checkpoint was written: model.safetensors cannot be "
    assert caught.value.what == words + "written."
    assert caught.value.hint == hint.replace("FOLDER", str(tmp_path))

    disk.full = lambda path: True
    with pytest.raises(I2IError, match="At 32 images the checkpoint and the model could not be written: I/O error: No"):
        toy_loop(tmp_path / "other", save_model=refuse(error)).run()


def test_an_end_that_cannot_be_saved_is_an_error_and_can_be_resumed(tmp_path, disk):
    disk.full = lambda path: "000032" in str(path)
    with pytest.raises(
        I2IError,
        match=r"32 images the checkpoint could not be written: .*No space left.*Free some space",
    ):
        toy_loop(tmp_path).run()
    disk.full = lambda path: False
    again = toy_loop(tmp_path)
    again.run()
    whole = toy_loop(tmp_path / "whole")
    whole.run()
    assert {k: v.tolist() for k, v in weights(again).items()} == {k: v.tolist() for k, v in weights(whole).items()}


def test_a_stop_that_cannot_be_saved_does_not_claim_to_be(tmp_path, disk):
    disk.full = lambda path: True
    loop = stopped_in_its_first_step(toy_loop(tmp_path))
    with pytest.raises(I2IError, match="At 4 images the checkpoint could not be written") as caught:
        loop.run()
    assert caught.value.code == 1
