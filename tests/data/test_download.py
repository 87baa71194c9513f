"""Downloads from a local server that misbehaves, hostile archives, cards."""

import hashlib
import http.server
import io
import stat
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from i2i import data
from i2i.core import resources
from i2i.core.errors import I2IError
from i2i.data import archive, cards, download
from i2i.media import images

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; each path may be cut after some bytes, ignore ranges, or answer with an error."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/a": CONTENT}
        self.cuts: list[int] = []  # the next answers end after so many bytes
        self.errors: list[int] = []  # the next answers have these codes
        self.ranges = True
        self.etag = '"1"'
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str = "/a") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, span = self.server, self.headers.get("Range")
        server.asked.append((self.path, span))
        if server.errors or self.path not in server.files:
            self.send_error(server.errors.pop(0) if server.errors else 404)
            return
        content = server.files[self.path]
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and server.ranges else 0
        if self.headers.get("If-Range") not in (None, server.etag):
            start = 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", server.etag)
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_whole_file_with_progress_and_only_once(server, tmp_path):
    seen: list[tuple[int, int]] = []
    path = download.fetch(
        server.url(), tmp_path / "a", SHA, len(CONTENT), lambda done, total: seen.append((done, total))
    )
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert left(tmp_path) == ["a"]
    download.fetch(server.url(), tmp_path / "a", SHA)
    assert len(server.asked) == 1


def test_a_cut_connection_is_continued(server, tmp_path):
    server.cuts = [100_000, 1, 50_000, 20_000, 10_000, 5_000, 5_000, 5_000]
    assert download.fetch(server.url(), tmp_path / "a", SHA).read_bytes() == CONTENT
    assert server.asked[1][1] == "bytes=100000-"
    assert server.asked[2][1] == "bytes=100001-"


@pytest.mark.parametrize("known", [True, False])
def test_a_later_call_goes_on_where_the_last_one_stopped(server, tmp_path, known):
    sha, size = (SHA, len(CONTENT)) if known else (None, None)
    server.cuts = [100_000] + [0] * 50
    with pytest.raises(I2IError, match="cut after 100000 of 300000"):
        download.fetch(server.url(), tmp_path / "a", sha, size)
    assert not (tmp_path / "a").exists()
    server.cuts, server.asked = [], []
    assert download.fetch(server.url(), tmp_path / "a", sha, size).read_bytes() == CONTENT
    assert server.asked == [("/a", "bytes=100000-")]
    assert left(tmp_path) == ["a"]


def test_a_server_that_ignores_ranges_begins_anew(server, tmp_path):
    server.cuts, server.ranges = [100_000, 200_000], False
    assert download.fetch(server.url(), tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_mixed(server, tmp_path):
    server.cuts = [100_000] + [0] * 50
    with pytest.raises(I2IError):
        download.fetch(server.url(), tmp_path / "a")
    server.cuts, server.etag, server.files["/a"] = [], '"2"', CONTENT[::-1]
    assert download.fetch(server.url(), tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_a_part_of_an_older_version_is_given_up(server, tmp_path):
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.part.json").write_text(f'{{"url": "{server.url()}"}}')
    assert download.fetch(server.url(), tmp_path / "a", SHA).read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(server, tmp_path):
    with pytest.raises(I2IError, match=rf"SHA-256 is {SHA}, expected was {'0' * 64}") as caught:
        download.fetch(server.url(), tmp_path / "a", "0" * 64)
    assert server.url() in str(caught.value)
    assert left(tmp_path) == []


def test_a_wrong_length_leaves_nothing(server, tmp_path):
    with pytest.raises(I2IError, match="offers 300000 bytes, expected were 5"):
        download.fetch(server.url(), tmp_path / "a", bytes=5)
    assert left(tmp_path) == []


def test_mirrors_are_tried_in_order_and_named(server, tmp_path):
    urls = [server.url("/gone"), "http://127.0.0.1:9/a", server.url()]
    assert download.fetch(urls, tmp_path / "a", SHA).read_bytes() == CONTENT
    with pytest.raises(I2IError, match=r"/gone: the server answered 404 .*127\.0\.0\.1:9/a: .*refused"):
        download.fetch(urls[:2], tmp_path / "b")
    server.files["/b"] = CONTENT[:-1] + b"!"
    assert download.fetch([server.url("/b"), server.url()], tmp_path / "c", SHA).read_bytes() == CONTENT


def test_a_part_is_continued_from_another_mirror_only_if_the_size_is_known(server, tmp_path):
    server.files["/b"] = CONTENT
    server.cuts = [100_000] + [0] * 4
    assert download.fetch([server.url(), server.url("/b")], tmp_path / "a", SHA, len(CONTENT)).read_bytes() == CONTENT
    assert server.asked[-1] == ("/b", "bytes=100000-")


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.errors = [503, 500, 429]
    assert download.fetch(server.url(), tmp_path / "a", SHA).read_bytes() == CONTENT


def test_other_schemes_are_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(I2IError, match="only http"):
        download.fetch(f"file://{tmp_path}/secret", tmp_path / "a")


def test_a_full_disk_is_said(server, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_receive", full)
    with pytest.raises(I2IError, match="disk is full"):
        download.fetch(server.url(), tmp_path / "a")


def test_two_at_once_download_once(server, tmp_path):
    threads = [threading.Thread(target=download.fetch, args=(server.url(), tmp_path / "a", SHA)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(server.asked) == 1


# ---- archives --------------------------------------------------------------------------------------------------


def zipped(path: Path, entries: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            file.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def tarred(path: Path, entries: list[tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for entry in entries:
            file.addfile(entry, io.BytesIO(b"x" * entry.size))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def test_good_archives(tmp_path):
    path = zipped(tmp_path / "a.zip", {"set/trainA/1.jpg": b"1", "set/b.jpg": b"22"})
    made = archive.extract(path, tmp_path / "zip")
    assert (made / "set" / "b.jpg").read_bytes() == b"22"
    path = tarred(tmp_path / "a.tar.gz", [info("set", tarfile.DIRTYPE), info("set/a.jpg", size=3)])
    assert (archive.extract(path, tmp_path / "tar") / "set" / "a.jpg").read_bytes() == b"xxx"
    assert left(tmp_path) == ["a.tar.gz", "a.zip", "tar", "zip"]


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/i2i-out", "C:\\out", "..\\out", "a\nb"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_lead_out(tmp_path, name, kind):
    path = zipped(tmp_path / "a", {name: b"x"}) if kind == "zip" else tarred(tmp_path / "a", [info(name, size=1)])
    with pytest.raises(I2IError, match="leads out"):
        archive.extract(path, tmp_path / "in" / "made")
    assert left(tmp_path / "in") == []
    assert left(tmp_path) == ["a", "in"]


@pytest.mark.parametrize(
    "entry",
    [
        info("l", tarfile.SYMTYPE, link="/etc"),
        info("l", tarfile.LNKTYPE, link="../../x"),
        info("f", tarfile.FIFOTYPE),
        info("d", tarfile.CHRTYPE),
    ],
)
def test_links_and_devices_in_tar(tmp_path, entry):
    with pytest.raises(I2IError, match="link or device"):
        archive.extract(tarred(tmp_path / "a.tar.gz", [info("ok", size=1), entry]), tmp_path / "made")
    assert left(tmp_path) == ["a.tar.gz"]


def test_links_in_zip(tmp_path):
    path = zipped(tmp_path / "a.zip", {"l": b"/etc"}, {"l": stat.S_IFLNK | 0o777})
    with pytest.raises(I2IError, match="link or device"):
        archive.extract(path, tmp_path / "made")


def test_limits_on_count_size_and_ratio(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", {str(i): b"0" * 1000 for i in range(20)})
    with pytest.raises(I2IError, match="more than 19 files"):
        archive.extract(path, tmp_path / "made", max_files=19)
    with pytest.raises(I2IError, match="more than 19,999 bytes"):
        archive.extract(path, tmp_path / "made", max_bytes=19_999)
    monkeypatch.setattr(archive, "RATIO_FREE", 1000)
    bomb = zipped(tmp_path / "b.zip", {"zeros": bytes(2_000_000)})
    with pytest.raises(I2IError, match="unpacks to more than"):
        archive.extract(bomb, tmp_path / "made")
    assert left(tmp_path) == ["a.zip", "b.zip"]


def test_names_that_collide(tmp_path):
    with pytest.raises(I2IError, match="twice"):
        archive.extract(zipped(tmp_path / "a.zip", {"a.jpg": b"1", "A.JPG": b"2"}), tmp_path / "made")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_damaged_archives(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(I2IError, match=r"a\.zip"):
        archive.extract(tmp_path / "a.zip", tmp_path / "made")
    whole = zipped(tmp_path / "b.zip", {"a": CONTENT}).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[:1000] + b"\0" * 100 + whole[1100:])
    with pytest.raises(I2IError, match="damaged or hostile"):
        archive.extract(tmp_path / "b.zip", tmp_path / "made")
    assert left(tmp_path) == ["a.zip", "b.zip"]


# ---- cards -----------------------------------------------------------------------------------------------------

NAMED = [
    "maps",
    "facades",
    "cityscapes",
    "edges2shoes",
    "edges2handbags",
    "night2day",
    "horse2zebra",
    "apple2orange",
    "summer2winter_yosemite",
    "monet2photo",
    "cezanne2photo",
    "ukiyoe2photo",
    "vangogh2photo",
    "cyclegan_maps",
    "cyclegan_facades",
    "iphone2dslr_flower",
    "ae_photos",
    "grumpifycat",
    "earth",
]


@pytest.mark.parametrize("name", cards.names())
def test_every_card_is_complete(name):
    card = cards.card(name)
    assert card.layout in ("paired", "unpaired")
    assert card.summary
    assert card.licence
    assert all(u.startswith(("https://", "http://")) for u in card.urls)
    assert card.urls or (resources.shipped("datasets") / name).is_dir()
    assert not card.sha256 or (len(card.sha256) == 64 and card.bytes)
    assert not card.twin or cards.card(card.twin).twin == name


def test_all_named_sets_have_a_card():
    assert sorted([*NAMED, "daynight"]) == cards.names()
    with pytest.raises(I2IError, match="Did you mean facades"):
        cards.card("facade")


def test_a_named_set_is_downloaded_once_and_opened(server, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    pictures = {f"tiny/{s}{x}/{i}.png": _png() for s in ("train", "test") for x in "AB" for i in range(2)}
    server.files["/tiny.zip"] = zipped(tmp_path / "tiny.zip", pictures).read_bytes()
    card = cards.DataCard("tiny", "a test", "unpaired", "none", urls=(server.url("/tiny.zip"),))
    monkeypatch.setattr(cards, "card", lambda name: card)
    monkeypatch.setattr(cards, "names", lambda: ["tiny"])
    opened = data.open("tiny", data.DataSettings(layout="unpaired", size=16, workers=0))
    assert (opened.count, opened.splits, opened.licence) == (2, ("train", "test"), "none")
    assert data.open(["tiny"], data.DataSettings(layout="unpaired", size=16), split="test").count == 2
    assert len(server.asked) == 1
    assert left(tmp_path / "cache" / "downloads") == []
    assert data.get("tiny") == tmp_path / "cache" / "datasets" / "tiny" / "tiny"


def test_a_damaged_set_is_removed_and_can_be_fetched_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    card = cards.DataCard("tiny", "a test", "unpaired", "none", urls=(server.url("/tiny.zip"),))
    monkeypatch.setattr(cards, "card", lambda name: card)
    server.files["/tiny.zip"] = b"an error page"
    with pytest.raises(I2IError, match="no zip or tar archive"):
        data.get("tiny")
    server.files["/tiny.zip"] = zipped(tmp_path / "tiny.zip", {"tiny/1.png": _png()}).read_bytes()
    assert (data.get("tiny") / "1.png").exists()


def _png() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_twins_serve_the_layout_that_is_wanted(monkeypatch):
    asked: list[str] = []

    def get(name: str, progress: object = None) -> Path:
        asked.append(name)
        return resources.shipped("datasets") / "earth"

    monkeypatch.setattr("i2i.data.source.get", get)
    for layout in ("auto", "paired", "unpaired"):
        data.open("maps", data.DataSettings(layout=layout))
    assert asked == ["maps", "maps", "cyclegan_maps"]


# ---- check -----------------------------------------------------------------------------------------------------


def test_check_finds_what_was_planted(tmp_path):
    rng = np.random.default_rng(3)

    def smooth(seed: int) -> np.ndarray:
        raster = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
        from PIL import Image

        return np.asarray(Image.fromarray(raster).resize((64, 64), Image.Resampling.BICUBIC))

    for i in range(12):
        images.save(tmp_path / "trainA" / f"{i:02d}.png", smooth(i))
        images.save(tmp_path / "trainB" / f"{i:02d}.png", smooth(i + 100))
    assert data.check(tmp_path) == []
    (tmp_path / "trainA" / "bad.png").write_bytes(b"not an image")
    images.save(tmp_path / "trainA" / "alone.png", smooth(50)[:32])
    images.save(tmp_path / "trainB" / "bad.png", rng.integers(0, 256, (64, 64), np.uint8))
    images.save(tmp_path / "trainB" / "copy.jpg", smooth(104), quality=90)
    images.save(tmp_path / "trainB" / "same.webp", smooth(105), lossless=True)
    images.save(tmp_path / "testA" / "leak.bmp", smooth(3))
    images.save(tmp_path / "testB" / "leak.bmp", smooth(777))
    found = data.check(tmp_path)
    by_kind = {f.kind: f for f in found}
    assert by_kind["unreadable"].files == ("trainA/bad.png",)
    assert "alone" in by_kind["partner"].files
    assert set(by_kind["split"].files) == {"trainA/03.png", "testA/leak.bmp"}
    assert set(by_kind["duplicate"].files) == {"trainB/05.png", "trainB/same.webp"}
    assert set(by_kind["near duplicate"].files) == {"trainB/04.png", "trainB/copy.jpg"}
    assert by_kind["size"].files == ("trainA/alone.png",)
    assert by_kind["channels"].files == ("trainB/bad.png",)
    assert found[0].serious
    assert by_kind["split"].serious


def test_check_of_nothing(tmp_path):
    assert data.check(tmp_path)[0].kind == "empty"
    with pytest.raises(I2IError, match="does not exist"):
        data.check(tmp_path / "none")


def test_a_machine_without_a_network_is_asked_about_it(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0)
    with pytest.raises(I2IError, match="Is this machine connected to the internet"):
        download.fetch(["https://nobody.invalid/a.pth"], tmp_path / "a.pth")
