"""The demo page as its server runs it: foreign origins, full disks, malformed requests, and what a crash leaves.

The guard alone is tested without gradio in tests/inference/test_demo_guard.py. `make test-page` runs these.
"""

import http.client
import json
import os
import random
import signal
import socket
import time
import urllib.request

import pytest

from i2i.inference.demo_server import free_port
from tests.cli.program import start

pytestmark = pytest.mark.slow
UPLOAD = "/gradio_api/upload"
JSON = {"Content-Type": "application/json"}


class Page:
    """The page of a process of its own, with little room: uploads of 0.1 MB, 2 MB together."""

    def __init__(self, folder, *words):
        self.port = free_port("127.0.0.1", None)
        limits = ("--max-upload", "0.1", "--max-stored", "2", "--device", "cpu", "--json")
        words = ("demo", "--model", "cyclegan_daynight", "--port", self.port, *limits, *words)
        self.process = start(*words, env={"TMPDIR": str(folder)})
        assert json.loads(self.process.stdout.readline())["address"].endswith(f":{self.port}")

    def ask(self, method, path, body=b"", headers=(), host=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {"Host": host} if host else {}
        try:
            connection.request(method, path, body, {**dict(headers), **named})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self, number):
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1]


def form(size):
    head = b'--X\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + os.urandom(size) + b"\r\n--X--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=X"}


@pytest.fixture
def page(tmp_path):
    pytest.importorskip("gradio")
    started = Page(tmp_path)
    yield started
    err = started.end(signal.SIGTERM)
    assert err == ""
    assert list(tmp_path.glob("i2i-demo-*")) == []


def test_foreign_pages_fill_no_disk(page, tmp_path):
    own = f"http://127.0.0.1:{page.port}"
    for _ in range(5):
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}"):
            assert page.ask("POST", UPLOAD, form(90_000), {**FORM, "Origin": origin})[0] == 403
        assert page.ask("POST", UPLOAD, form(90_000), {**FORM, "Sec-Fetch-Site": "cross-site"})[0] == 403
        assert page.ask("POST", UPLOAD, form(90_000), FORM, host="evil.example")[0] == 400
    held = sum(f.stat().st_size for f in tmp_path.glob("i2i-demo-*/*/*") if f.stat().st_size == 90_000)
    assert held == 0
    assert page.ask("POST", UPLOAD, form(90_000), {**FORM, "Origin": own, "Sec-Fetch-Site": "same-origin"})[0] == 200

    # All uploads together, and one that is too large.
    answers = [page.ask("POST", UPLOAD, form(90_000), FORM)[0] for _ in range(40)]
    assert answers[0] == 200
    assert answers[-1] == 503
    held = sum(f.stat().st_size for f in tmp_path.glob("i2i-demo-*/**/*") if f.is_file())
    assert held < 2_000_000
    assert page.ask("POST", UPLOAD, form(5_000_000), FORM)[0] == 413
    assert page.ask("GET", "/config")[0] == 200


def test_malformed_requests_are_answered_without_traces(page):
    draw = random.Random(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/config") as answer:
        events = [event["id"] for event in json.load(answer)["dependencies"]]
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    inputs = [[], None, ["x"], ["x", file], [{}, {}], [[], []], ["cyclegan_daynight", {"path": 5}], [1] * 50]
    bodies = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"a":' * 3000, form(10)[:40]]
    for event in [*events, -1, 999, "x", None]:
        for data in inputs:
            more = {"event_data": draw.choice([None, {}, {"index": 10**9}, 5]), "trigger_id": draw.choice([None, 1])}
            bodies.append(json.dumps({"data": data, "fn_index": event, "session_hash": "s", **more}).encode())
    for path in (
        "/gradio_api/queue/join",
        UPLOAD,
        "/gradio_api/reset",
        "/gradio_api/cancel",
        "/gradio_api/run/translate",
    ):
        for body in bodies:
            status, _ = page.ask("POST", path, body, draw.choice([JSON, FORM, {"Content-Type": "multipart/form-data"}]))
            assert status in (200, 400, 404, 422, 500)
    for path in ("file=%00", "file=http://x/", "proxy=http://x", "deep_link", "upload_progress?upload_id=x"):
        assert page.ask("GET", f"/gradio_api/{path}")[0] in (400, 403, 404)
    for raw in (
        b"\0\1\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", page.port), 10) as client:
            client.sendall(raw)
            assert client.recv(100).startswith(b"HTTP/1.1 4")
    assert page.ask("GET", "/config")[0] == 200


def test_what_a_crash_leaves_goes_at_the_next_start(tmp_path):
    pytest.importorskip("gradio")
    first = Page(tmp_path)
    first.ask("POST", UPLOAD, form(50_000), FORM)
    first.end(signal.SIGKILL)
    (crashed,) = tmp_path.glob("i2i-demo-*")
    assert any(f.stat().st_size == 50_000 for f in crashed.rglob("*.png"))
    second = Page(tmp_path, "--host", "0.0.0.0", "--allow-host", "studio.example")
    assert not crashed.exists()
    assert second.ask("GET", "/config", host="studio.example")[0] == 200
    assert second.ask("GET", "/config", host="evil.example")[0] == 400
    second.end(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while list(tmp_path.glob("i2i-demo-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(tmp_path.glob("i2i-demo-*")) == []
