"""Downloads from servers that lie, redirect elsewhere, never end or send byte by byte; hashes of first downloads."""

import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
import warnings

import pytest

from i2i import data
from i2i.core.errors import I2IError, I2IWarning
from i2i.data import cards, connection, download
from i2i.data.connection import RefusedError
from tests.data.test_download import CONTENT, SHA, _png, left, server, zipped

__all__ = ["server"]
HEAD = b"HTTP/1.1 200 OK\r\n"


class Raw:
    """A server that answers each connection by `answer(client)`; counts the connections."""

    def __init__(self, answer):
        self.answer, self.count = answer, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/a"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            self.answer(client)


class RawTls(Raw):
    """The same, but `answer` begins with the handshake."""

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            self.answer(client)


@pytest.fixture
def raw(monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    started = []

    def start(answer):
        started.append(Raw(answer if callable(answer) else lambda client: client.sendall(answer)))
        return started[-1]

    yield start
    for one in started:
        one.socket.close()


def refused(url, folder, words, **known):
    begun = time.monotonic()
    with pytest.raises(I2IError, match=words) as caught:
        download.fetch(url, folder / "a", **known)
    assert time.monotonic() - begun < 60
    assert not (folder / "a").exists()
    return str(caught.value)


# ---- which addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a", "http://10.0.0.1/a", "http://localhost.example.org/a", "http://127.0.0.1.nip.io/a",
        "http://user@example.org/a", "http://127.0.0.1@example.org/a", "HTTP://example.org/a",
    ],
)  # fmt: skip
def test_http_is_for_this_machine_or_a_known_hash(url, tmp_path):
    refused(url, tmp_path, "an http address is fetched only if the hash of the file is known")
    connection.check_address(url, has_hash=True)
    for fine in (
        "http://127.0.0.1:8/a",
        "http://127.9.9.9/a",
        "http://localhost/a",
        "http://[::1]:8/a",
        "https://x.org",
    ):
        connection.check_address(fine, has_hash=False)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/a", "data:,x", "gopher://x/", "https://", "http:a", "//x/a", "http://["],
)
def test_other_schemes_are_never_fetched(url, tmp_path):
    refused(url, tmp_path, "only https|no address", sha256=SHA)


def test_http_mirrors_after_https_are_left_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_fetch_from", lambda url, *more: f"{url} failed.")
    with pytest.raises(I2IError) as caught:
        download.fetch(["https://a.example/a", server.url(), "HTTP://b.example/a"], tmp_path / "a", SHA)
    assert "https://a.example/a failed" in str(caught.value)
    assert "http:" not in str(caught.value).lower().replace("https:", "")
    for name in cards.names():
        assert all(url.startswith("https://") for url in cards.card(name).urls)


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x", "http://example.org/a", "javascript:x", "gopher://x"],
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_elsewhere_are_refused_at_once(raw, tmp_path, target, code):
    host = raw(f"HTTP/1.1 {code} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
    refused(host.url, tmp_path, "the server redirects to")
    assert host.count == 1


def test_a_redirect_never_leads_from_https_to_http(server):
    handler = connection._Redirects(has_hash=True)
    request = urllib.request.Request("https://example.org/a")
    for url in (server.url(), "http://example.org/a", "HTTP://localhost/a"):
        with pytest.raises(RefusedError, match="redirects from https to"):
            handler.redirect_request(request, None, 302, "", {}, url)
    assert handler.redirect_request(request, None, 302, "", {}, "https://b.example/a").full_url == "https://b.example/a"


def test_redirects_that_are_allowed_end(raw, server, tmp_path):
    host = raw(f"HTTP/1.1 302 Found\r\nLocation: {server.url()}\r\nContent-Length: 0\r\n\r\n".encode())
    assert download.fetch(host.url, tmp_path / "b").read_bytes() == CONTENT
    circle = raw(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    refused(circle.url, tmp_path, "302")
    assert circle.count < 20


# ---- how much, how long --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length", [b"", b"Content-Length: -5\r\n", b"Content-Length: 3e5\r\n", b"Content-Length: \xb2\r\n"]
)
def test_a_file_without_a_length_is_whole_only_by_its_hash(raw, tmp_path, length):
    host = raw(HEAD + length + b"\r\n" + CONTENT)
    refused(host.url, tmp_path, "does not say how long the file is")
    refused(host.url, tmp_path, "SHA-256 is", sha256="0" * 64)
    refused(host.url, tmp_path, "more than the 5 bytes", bytes=5)
    assert left(tmp_path) == []
    assert download.fetch(host.url, tmp_path / "a", SHA).read_bytes() == CONTENT
    cut = raw(HEAD + length + b"\r\n" + CONTENT[:-1])
    refused(cut.url, tmp_path / "cut", "SHA-256 is", sha256=SHA)


def test_chunks_say_where_they_end(raw, tmp_path):
    chunked = (
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"186a0\r\n%s\r\n" % CONTENT[i : i + 100_000] for i in (0, 100_000, 200_000))
    )
    host = raw(chunked + b"0\r\n\r\n")
    assert download.fetch(host.url, tmp_path / "a").read_bytes() == CONTENT
    refused(raw(chunked).url, tmp_path / "cut", "could not be downloaded")


def test_a_largest_size(raw, server, tmp_path):
    refused(server.url(), tmp_path, "the server offers .* allowed are", max_bytes=299_999)
    assert download.fetch(server.url(), tmp_path / "b", max_bytes=300_000).read_bytes() == CONTENT

    def endless(client):
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            client.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")

    host = raw(endless)
    refused(host.url, tmp_path, "more than the 1,000,000 bytes", max_bytes=1_000_000)
    assert host.count == 1
    assert left(tmp_path) == ["b"]
    refused(raw(HEAD + b"Content-Length: 99999999999999999\r\n\r\n").url, tmp_path, "allowed are")
    for name in cards.names():
        card = cards.card(name)
        assert not card.urls or card.max_bytes >= max(card.bytes, card.about)


def test_one_byte_a_connection_is_no_progress(raw, tmp_path):
    def byte(client):
        client.sendall(HEAD + b"Content-Length: 300000\r\n\r\nx")

    host = raw(byte)
    refused(host.url, tmp_path, "cut after 1 of 300000")
    assert host.count == download.TRIES
    begun = {"n": 0}

    def one_more(client):  # by ranges
        begun["n"] += 1
        n = begun["n"]
        client.sendall(b"HTTP/1.1 206 Part\r\nContent-Range: bytes %d-9/300000\r\nContent-Length: 9\r\n\r\nx" % n)

    (tmp_path / "a.part").write_bytes(b"x")
    counted = raw(one_more)
    (tmp_path / "a.part.json").write_text(f'{{"url": "{counted.url}"}}')
    refused(counted.url, tmp_path, "cut after")
    assert counted.count <= 2 * download.TRIES


def test_byte_by_byte_in_one_connection_ends(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "WINDOW", 0.1)
    monkeypatch.setattr(connection, "HEADERS_TIME", 0.3)
    monkeypatch.setattr(download, "TRIES", 2)

    def slowly(text):
        def answer(client):
            for i in range(len(text)):
                client.sendall(text[i : i + 1])
                time.sleep(0.02)

        return answer

    def body(client):
        client.sendall(HEAD + b"Content-Length: 300000\r\n\r\n")
        slowly(b"x" * 300_000)(client)

    refused(raw(body).url, tmp_path, "sent only .* bytes in")
    refused(raw(slowly(HEAD + b"X: y\r\n" * 1000)).url, tmp_path, "could not be downloaded")


def test_headers_without_end(raw, tmp_path):
    for head in (b"X: y\r\n" * 90_000, b"X: " + b"y" * 10_000_000, b"X" * 100_000):
        refused(raw(HEAD + head).url, tmp_path / "x", "could not be downloaded")


def test_a_part_that_is_a_link_is_not_written_through(server, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.part").symlink_to(tmp_path / "precious")
    assert download.fetch(server.url(), tmp_path / "a").read_bytes() == CONTENT
    assert (tmp_path / "precious").read_text() == "mine"


# ---- the hash of the first download --------------------------------------------------------------------------------


@pytest.fixture
def tiny(server, tmp_path, monkeypatch):
    """A data set without a published hash; its folder in the cache."""
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    card = cards.DataCard("tiny", "a test", "unpaired", "none", urls=(server.url("/tiny.zip"),))
    monkeypatch.setattr(cards, "card", lambda name: card)
    server.files["/tiny.zip"] = zipped(tmp_path / "tiny.zip", {"a/1.png": _png(), "b/1.png": _png()}).read_bytes()
    return tmp_path / "cache" / "datasets"


def remove(folder):
    shutil.rmtree(folder / "tiny")


def test_the_first_download_is_trusted_and_the_next_compared(server, tiny, tmp_path):
    digest = hashlib.sha256(server.files["/tiny.zip"]).hexdigest()
    with pytest.warns(
        I2IWarning, match=f"Nobody has published a hash of the data set tiny. Its SHA-256 {digest}"
    ) as told:
        data.get("tiny")
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    record = tiny / ".tiny.sha256"
    assert record.read_text() == f"{digest}  tiny.zip\n"

    remove(tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.get("tiny")  # the same file: nothing is said

    remove(tiny)
    server.files["/tiny.zip"] = zipped(tmp_path / "b.zip", {"a/1.png": b"evil", "b/1.png": _png()}).read_bytes()
    with pytest.raises(I2IError, match=r"SHA-256 is .*If you trust it, remove .*\.tiny\.sha256") as caught:
        data.get("tiny")
    assert digest in str(caught.value)
    assert not (tiny / "tiny").exists()
    record.unlink()
    with pytest.warns(I2IWarning, match="is recorded"):
        assert (data.get("tiny") / "a" / "1.png").read_bytes() == b"evil"


def test_a_damaged_first_download_is_not_trusted(server, tiny):
    good, server.files["/tiny.zip"] = server.files["/tiny.zip"], b"<html>sign in to the network</html>"
    with pytest.raises(I2IError, match="no zip or tar"):
        data.get("tiny")
    assert not (tiny / ".tiny.sha256").exists()
    server.files["/tiny.zip"] = good
    with pytest.warns(I2IWarning):
        data.get("tiny")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 63, b"x" * 64, b"\0" * 100])
def test_a_damaged_record_counts_as_none(tmp_path, content):
    (tmp_path / "r").write_bytes(content)
    assert download.remembered(tmp_path / "r") is None
    assert download.remembered(tmp_path) is None


# ---- https ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def https(tmp_path, monkeypatch):
    """A function that starts a server with https, whose certificate is trusted; it gives the same answer always."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(download, "WAIT", 0.001)
    started = []

    def start(answer):
        def serve(client):
            with context.wrap_socket(client, server_side=True) as secure:
                secure.recv(65536)
                answer(secure) if callable(answer) else secure.sendall(answer)

        one = RawTls(serve)
        started.append(one)
        one.url = one.url.replace("http://127.0.0.1", "https://localhost")
        return one

    yield start
    for one in started:
        one.socket.close()


def test_https_and_what_it_may_lead_to(https, server, tmp_path, monkeypatch):
    whole = https(HEAD + b"Content-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT)
    assert download.fetch(whole.url, tmp_path / "b").read_bytes() == CONTENT
    for target in (server.url(), "http://example.org/a", "file:///etc/passwd", "ftp://example.org/a"):
        moved = https(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        refused(moved.url, tmp_path, "the server redirects", sha256=SHA)
        assert moved.count == 1
    moved = https(f"HTTP/1.1 302 Found\r\nLocation: {whole.url}\r\nContent-Length: 0\r\n\r\n".encode())
    assert download.fetch(moved.url, tmp_path / "c").read_bytes() == CONTENT

    def slow_headers(client):
        for _ in range(1000):
            client.sendall(b"H")
            time.sleep(0.02)

    monkeypatch.setattr(connection, "HEADERS_TIME", 0.3)
    monkeypatch.setattr(download, "TRIES", 2)
    refused(https(slow_headers).url, tmp_path, "could not be downloaded")
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(whole.url, tmp_path, "certificate verify failed")
    assert server.asked == []
