"""Archives that are damaged or hostile: always one kind of error, nothing left, and small in memory and time."""

import gzip
import io
import random
import shutil
import tarfile
import time
import tracemalloc
import zipfile

import pytest

from i2i import data
from i2i.core.errors import I2IError
from i2i.data import archive, cards
from tests.data.test_download import CONTENT, _png, info, left, server, tarred, zipped

__all__ = ["server"]


def refused(path, words):
    with pytest.raises(archive.DamagedArchive, match=words):
        archive.extract(path, path.parent / "made")
    assert left(path.parent) == [path.name]


def compressed(path, method):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a/1.png", CONTENT[:20_000] + bytes(20_000))
    return path.read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_flipped_bytes_of_a_zip_are_always_damage(tmp_path, method):
    whole, draw = compressed(tmp_path / "a.zip", method), random.Random(0)
    for _ in range(60):
        broken = bytearray(whole)
        for at in draw.sample([*range(60), *range(len(whole) - 120, len(whole)), *range(0, len(whole), 97)], 3):
            broken[at] ^= 1 << draw.randrange(8)
        (tmp_path / "a.zip").write_bytes(broken)
        try:
            made = archive.extract(tmp_path / "a.zip", tmp_path / "made")
        except archive.DamagedArchive:
            assert left(tmp_path) == ["a.zip"]
        else:
            made.rename(tmp_path / "gone")
            shutil.rmtree(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_flipped_bytes_of_a_tar_are_always_damage(tmp_path, kind):
    path = tmp_path / f"a.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as file:
        entry = info("a/1.png", size=40_000)
        file.addfile(entry, io.BytesIO(CONTENT[:40_000]))
    whole = path.read_bytes()
    for at in range(60, len(whole), len(whole) // 25):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        refused(path, r"a\.tar")
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, r"a\.tar")


def test_an_entry_without_a_name_is_damage(tmp_path):
    refused(zipped(tmp_path / "a.zip", {"": b"x"}), "a.zip")


def test_a_header_of_long_names_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.tar.gz"
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        header = info("pax", kind, size=300 << 20).tobuf(tarfile.GNU_FORMAT)
        with gzip.open(path, "wb", 1) as file:
            file.write(header)
            for _ in range(300):
                file.write(bytes(1 << 20))
        tracemalloc.start()
        refused(path, "a header in it has 314,572,800 bytes")
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_folders_count_as_files(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILES", 100)
    names = [f"d{i}/" for i in range(101)]
    if kind == "zip":
        path = zipped(tmp_path / "a", dict.fromkeys(names, b""))
    else:
        path = tarred(tmp_path / "a", [info(n, tarfile.DIRTYPE) for n in names])
    with pytest.raises(archive.DamagedArchive, match="more than 100 files and folders"):
        archive.extract(path, tmp_path / "made", max_files=100)
    implied = zipped(tmp_path / "a", {f"{i}/{i}/x": b"" for i in range(40)})
    with pytest.raises(archive.DamagedArchive, match="more than 100 files and folders"):
        archive.extract(implied, tmp_path / "made", max_files=100)
    assert left(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_folders_within_each_other_are_limited_and_nothing_is_left(tmp_path, kind):
    deep = "d/" * 1900
    if kind == "zip":
        path = zipped(tmp_path / "a", {"ok/1.png": b"1", f"{deep}x": b"x"})
    else:
        path = tarred(tmp_path / "a", [info("ok", size=1), info(f"{deep}x", size=1), info("l", tarfile.SYMTYPE)])
    begun = time.process_time()
    refused(path, "has more than 32 parts")
    assert time.process_time() - begun < 10


def test_a_full_disk_is_no_damage(tmp_path, monkeypatch):
    def full(*words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_unzip", full)
    with pytest.raises(I2IError, match="No space left") as caught:
        archive.extract(zipped(tmp_path / "a.zip", {"a": b"1"}), tmp_path / "made")
    assert not isinstance(caught.value, archive.DamagedArchive)


@pytest.mark.parametrize("damage", ["flip", "lzma", "cut"])
def test_a_damaged_archive_in_the_cache_is_fetched_anew(server, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    whole = compressed(tmp_path / "w.zip", zipfile.ZIP_LZMA if damage == "lzma" else zipfile.ZIP_DEFLATED)
    server.files["/tiny.zip"] = zipped(tmp_path / "tiny.zip", {"a/1.png": _png(), "b/1.png": _png()}).read_bytes()
    card = cards.DataCard("tiny", "a test", "unpaired", "none", urls=(server.url("/tiny.zip"),))
    monkeypatch.setattr(cards, "card", lambda name: card)
    cached = tmp_path / "cache" / "downloads" / "tiny.zip"
    cached.parent.mkdir(parents=True)
    middle = len(whole) // 2
    cached.write_bytes(whole[:middle] if damage == "cut" else whole[:90] + bytes(900) + whole[990:])
    assert (data.get("tiny") / "a" / "1.png").is_file()
    assert left(tmp_path / "cache" / "downloads") == []
    assert len(server.asked) == 1
