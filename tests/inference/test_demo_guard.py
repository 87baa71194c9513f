"""The guard in front of the demo page, as plain ASGI, and the folder of its files. No gradio is needed."""

import asyncio
import os
import time

import pytest

from i2i.core.errors import I2IError
from i2i.inference import demo_guard, demo_storage
from i2i.inference.demo_guard import Guard, allowed_hosts
from i2i.inference.demo_storage import Storage, private_storage
from tests.cli.program import i2i

HOST = "127.0.0.1:7860"


class App:
    """Reads the whole body and answers 200, or raises; counts what reached it."""

    def __init__(self, error=None):
        self.error, self.seen = error, []

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ConnectionError("the client is gone")
            body += message["body"]
            if not message.get("more_body"):
                break
        self.seen.append((scope["path"], len(body)))
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def ask(guard, method="GET", path="/config", headers=(), parts=(b"",), server=("127.0.0.1", 7860), host=HOST):
    """The status, headers and text of an answer. headers: pairs of text; parts: of the body, None for a silence."""
    pairs = [*([("host", host)] if host is not None else []), *headers]
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "server": server}
    waiting, sent = list(parts), []

    async def receive():
        part = waiting.pop(0)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    starts = [m for m in sent if m["type"] == "http.response.start"]
    assert len(starts) == 1
    return starts[0]["status"], dict(starts[0]["headers"]), b"".join(m.get("body", b"") for m in sent).decode()


@pytest.fixture
def guarded(tmp_path):
    def build(listen="127.0.0.1", more=(), limit=10_000_000, error=None):
        app = App(error)
        return Guard(app, allowed_hosts(listen, more), Storage(tmp_path, limit), 1_000_000), app

    return build


UPLOAD = {"method": "POST", "path": "/gradio_api/upload", "parts": (b"x" * 1000,)}


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://evil.example")],
        [("origin", "null")],
        [("origin", "")],
        [("origin", "http://127.0.0.1")],  # another port
        [("origin", "http://127.0.0.1:7861")],
        [("origin", "http://127.0.0.1:7860.evil.example")],
        [("origin", "http://evil.example@127.0.0.1:7860")],
        [("origin", "http://127.0.0.1:7860/")],
        [("origin", "file://127.0.0.1:7860")],
        [("origin", f"http://{HOST}"), ("origin", "http://evil.example")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site"), ("origin", f"http://{HOST}")],
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "SOMETHING")],
    ],
)
@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel"])
def test_another_web_page_changes_nothing(guarded, headers, path):
    guard, app = guarded()
    for method in ("POST", "PUT", "DELETE", "PATCH", "post"):
        status, _, text = ask(guard, method, path, headers, (b"x" * 10,))
        assert (status, text) == (403, "Another web page may not use this page.\n")
    assert app.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        [],  # a program, such as curl
        [("origin", f"http://{HOST}")],
        [("origin", f"https://{HOST}"), ("sec-fetch-site", "same-origin")],  # a proxy that speaks https
        [("sec-fetch-site", "none")],
    ],
)
def test_the_page_itself_may(guarded, headers):
    guard, app = guarded()
    assert ask(guard, headers=headers, **UPLOAD)[0] == 200
    assert app.seen == [("/gradio_api/upload", 1000)]
    name = "page.example"  # behind a proxy, at the usual port
    guard, app = guarded(more=[name])
    assert ask(guard, headers=[("origin", f"https://{name}")], host=name, **UPLOAD)[0] == 200


def test_reading_from_another_page(guarded):
    guard, _ = guarded()
    assert ask(guard, headers=[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")])[0] == 403
    status, headers, _ = ask(
        guard, path="/", headers=[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
    )
    assert status == 200  # a link to the page
    assert headers[b"content-security-policy"] == b"frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:7860", 200), ("localhost.", 200),
        ("evil.example", 400), ("127.0.0.1.nip.io:7860", 400), ("2130706433", 400), ("", 400), ("[", 400),
        ("192.168.1.5:7860", 400), (None, 400),
    ],
)  # fmt: skip
def test_names_of_a_page_for_this_machine_only(guarded, host, status):
    guard, app = guarded()
    assert ask(guard, host=host)[0] == status
    assert bool(app.seen) == (status == 200)


def test_names_of_a_page_for_other_machines(guarded, monkeypatch):
    monkeypatch.setattr(demo_guard.socket, "gethostname", lambda: "Studio.example")
    guard, _ = guarded("0.0.0.0", ["My.Server", "10.0.0.9"])
    good = ("studio.example:7860", "studio", "studio.local", "my.server", "localhost:7860", "10.0.0.9")
    for host in good:
        assert ask(guard, host=host)[0] == 200
    assert ask(guard, host="192.168.1.5:7860", server=("192.168.1.5", 7860))[0] == 200  # where the connection arrived
    assert ask(guard, host="192.168.1.5", server=("::ffff:192.168.1.5", 7860))[0] == 200
    for host in ("evil.example", "0.0.0.0", "192.168.1.6:7860", "studio.example.evil.example"):
        status, _, text = ask(guard, host=host, server=("192.168.1.5", 7860))
        assert status == 400
        assert "--allow-host" in text
    assert ask(guard, headers=[("host", "evil.example")])[0] == 400  # two of them
    for wrong in ("", "*", "http://x", "a/b"):
        with pytest.raises(I2IError, match="is not the name of a host"):
            allowed_hosts("0.0.0.0", [wrong])


def test_addresses_that_the_page_does_not_use(guarded):
    guard, app = guarded()
    for path in (
        "/gradio_api/run/translate",
        "/gradio_api/component_server",
        "/login",
        "/gradio_api/process_recording",
    ):
        assert ask(guard, "POST", path)[0] == 404
    for path in ("/gradio_api/proxy=http://x", "/gradio_api/deep_link", "/monitoring"):
        assert ask(guard, path=path)[0] == 404
    assert app.seen == []


def test_the_size_of_a_request(guarded, monkeypatch):
    guard, app = guarded()
    monkeypatch.setattr(demo_guard, "SILENCE", 0.2)
    whole = 1_000_000 + demo_guard.FORM
    upload = {"method": "POST", "path": "/gradio_api/upload"}
    assert ask(guard, parts=(b"x" * whole,), **upload)[0] == 200
    assert ask(guard, parts=(b"x" * whole, b"x"), **upload)[0] == 413  # without a length, found while reading
    for length in (str(whole + 1), "-5", "x", "9" * 400, "", "1e3", "\xb2"):
        assert ask(guard, headers=[("content-length", length)], parts=(b"x",), **upload)[0] == 413
    assert ask(guard, headers=[("content-length", "5"), ("content-length", "6")], parts=(b"x",), **upload)[0] == 413
    assert ask(guard, "POST", "/gradio_api/queue/join", parts=(b"x" * (demo_guard.MAX_BODY + 1),))[0] == 413
    assert len(app.seen) == 1
    assert ask(guard, parts=(b"x", None), **upload)[0] == 408


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_what_a_request_breaks_is_no_trace(guarded, error, capfd):
    guard, _ = guarded(error=error)
    assert ask(guard, "POST", "/gradio_api/queue/join")[0] == 400
    assert ask(guard)[0] == 500
    assert capfd.readouterr().err == ""


def test_all_uploads_together(guarded, tmp_path):
    guard, app = guarded(limit=1_000_000)
    (tmp_path / "old").write_bytes(bytes(900_000))
    status, _, text = ask(guard, headers=[("content-length", "200000")], **UPLOAD)
    assert (status, app.seen) == (503, [])
    assert "Try again in a few minutes" in text
    assert ask(guard, headers=[("content-length", "50000")], **UPLOAD)[0] == 200
    aged = time.time() - demo_storage.KEEP_IF_FULL - 1
    os.utime(tmp_path / "old", (aged, aged))
    assert (tmp_path / "old").exists()  # ctime is new: a file counts from its last change, whatever its date


def test_room_is_kept_for_what_is_arriving(tmp_path):
    storage = Storage(tmp_path, 100_000)
    with storage.reserve(60_000) as first, storage.reserve(60_000) as second:
        assert (first, second) == (True, False)
    with storage.reserve(100_000) as has_room:
        assert has_room
    for i in range(13):  # small files count by the blocks that they take
        (tmp_path / f"{i}").write_bytes(b"x")
    with storage.reserve(50_000) as has_room:
        assert not has_room


def test_old_files_go(tmp_path, monkeypatch):
    storage = Storage(tmp_path, 10_000)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.png").write_bytes(bytes(9_000))
    (tmp_path / "link").symlink_to("/etc")
    assert storage.sweep() == 0
    clock = time.time() + demo_storage.KEEP_IF_FULL + 60
    monkeypatch.setattr(demo_storage.time, "time", lambda: clock)
    assert storage.sweep() == 0
    with storage.reserve(5_000) as has_room:  # the room is needed: what is five minutes old goes
        assert has_room
    assert os.path.isdir("/etc")
    assert not list(tmp_path.rglob("*.png"))
    clock += demo_storage.KEEP
    storage.sweep()
    storage.sweep()
    assert list(tmp_path.iterdir()) == []
    assert demo_storage.KEEP + 2 * demo_storage.EVERY <= 3600


def test_the_folder_goes_at_the_end_and_after_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_storage.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(demo_storage.tempfile, "tempdir", str(tmp_path))
    crashed = tmp_path / f"{demo_storage.PREFIX}crashed"
    crashed.mkdir()
    (crashed / demo_storage.LOCK).touch()
    (crashed / "upload.png").write_bytes(b"x")
    fresh = tmp_path / f"{demo_storage.PREFIX}fresh"  # of a server that begins at this moment
    fresh.mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / f"{demo_storage.PREFIX}link").symlink_to(tmp_path / "other")
    with private_storage(1000) as storage:
        assert storage.folder.stat().st_mode & 0o777 == 0o700
        assert not crashed.exists()
        assert fresh.is_dir()
        assert demo_storage.remove_abandoned() == 0  # this one lives
        (storage.folder / "upload.png").write_bytes(b"x")
    assert not storage.folder.exists()
    assert (tmp_path / "other").is_dir()


def test_what_the_command_says():
    _, err = i2i("demo", "--allow-host", "http://x", code=1)
    assert "is not the name of a host" in err
