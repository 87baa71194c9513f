"""Files that stand for others are called by their name: as models, images and videos."""

import pytest

from i2i.core.errors import I2IError
from i2i.media import pixels
from i2i.models import content
from tests.cli import program

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html><html><title>Sign in</title>"


@pytest.mark.parametrize(("data", "says"), [(POINTER, "is a Git LFS pointer"), (PAGE, "is a web page")])
def test_a_pointer_and_a_page_are_called_so(tmp_path, data, says):
    for name, read in (("a.png", pixels.read), ("a.pth", content.kind_of)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(I2IError, match=says):
            read(tmp_path / name)
    pytest.importorskip("av")
    (tmp_path / "a.mp4").write_bytes(data)
    words = ["translate", tmp_path / "a.mp4", "-o", tmp_path / "b.mp4", "--model", "pix2pix_emoji"]
    assert says in program.i2i(*words, code=1)[1]


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"PK\3\4", "is an archive \\(ZIP\\), not an image"), (b"%PDF-1.4", "is a PDF"), (bytes(257) + b"ustar", "TAR")],
)
def test_archives_and_documents_are_no_images(tmp_path, data, says):
    (tmp_path / "a.png").write_bytes(data + bytes(100))
    with pytest.raises(I2IError, match=says):
        pixels.read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["out.zip", "out.tar.gz", "out.pdf"])
def test_an_archive_is_no_output_folder(tmp_path, name):
    for i in range(2):
        program.picture(tmp_path / "in" / f"{i}.png", i)
    words = ["translate", tmp_path / "in", "-o", tmp_path / name, "--model", "pix2pix_emoji"]
    assert f"{name} is the name of one file" in program.i2i(*words, code=1)[1]
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a.onnx", "a.pth", "a.bin", "a"])
def test_kinds_of_models_are_known_by_their_content(tmp_path, name):
    for head, kind in ((b"\x08\x08\x12\x07pytorch", content.ONNX), (b"PK\3\4", content.PTH)):
        (tmp_path / name).write_bytes(head + bytes(600))
        assert content.kind_of(tmp_path / name) == kind
