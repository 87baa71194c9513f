"""The web page: what it does without a server, what the command says, and the page itself in a real browser."""

import io
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image

import i2i as library
from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference import demo
from i2i.inference.demo_server import free_port
from i2i.models import format as model_file
from tests import browser
from tests.cli.program import i2i, start

DAYNIGHT = "cyclegan_daynight"


def encoded(width=40, height=24, kind="PNG", **more):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **more)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    header = {"method": "test", "data": ["earth"], "direction": "BtoA"}
    return model_file.save(path, {"G": nets.build("resnet", blocks=1, width=4)}, header)


@pytest.fixture(scope="module")
def studio(tiny):
    return demo.Studio([str(tiny)], "cpu", max_pixels=10_000)


def test_an_image_is_what_the_library_makes_of_it(studio, tiny):
    data = encoded(dpi=(300, 300))
    made = studio.translate("tiny", "my.photo.png", data)
    assert made.name == "my.photo.tiny.png"
    out = Image.open(io.BytesIO(made.data))
    assert round(out.info["dpi"][0]) == 300
    expected = library.load(tiny, "cpu")(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(out), np.asarray(expected))
    assert np.array_equal(np.asarray(made.after), np.asarray(expected))
    assert np.array_equal(np.asarray(made.before), np.asarray(Image.open(io.BytesIO(data))))


def test_format_turn_and_size_are_kept(studio):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    made = studio.translate("tiny", "photo.jpeg", encoded(kind="JPEG", exif=exif))
    assert made.name == "photo.tiny.jpg"
    assert Image.open(io.BytesIO(made.data)).format == "JPEG"
    assert made.size == made.before.size == made.after.size == (24, 40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"text", "bad.png is not an image"),
        (b"", "bad.png"),
        (encoded()[:500], "bad.png"),
        (encoded(200, 200), "10,000"),
    ],
)
def test_bad_files_are_a_sentence(studio, data, words):
    with pytest.raises(I2IError, match=words):
        studio.translate("tiny", "bad.png", data)


def test_a_model_of_many_domains_lets_choose(tmp_path, tiny):
    torch.manual_seed(0)
    net = nets.build("stargan", bits=[], classes=["day", "night/../x"], exclusive=[], width=4, blocks=1)
    path = model_file.save(tmp_path / "styles.safetensors", {"G": net}, {"method": "stargan"})
    studio = demo.Studio([str(path), str(tiny)], "cpu")
    assert studio.has_domains
    assert studio.domains("styles") == ("day", "night/../x")
    assert studio.domains("tiny") == ()
    assert not demo.Studio([str(tiny)], "cpu").has_domains
    data, model = encoded(), library.load(path, "cpu")
    first = studio.translate("styles", "photo.png", data)
    assert (first.name, first.data) == (
        "photo.styles.day.png",
        studio.translate("styles", "photo.png", data, "day").data,
    )
    other = studio.translate("styles", "photo.png", data, "night/../x")
    assert other.name == "photo.styles.night-..-x.png"
    expected = np.asarray(model(Image.open(io.BytesIO(data)), to=["night/../x"]))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(other.data))), expected)
    assert not np.array_equal(np.asarray(other.after), np.asarray(first.after))
    with pytest.raises(I2IError, match="There is no domain 'dusk'"):
        studio.translate("styles", "photo.png", data, "dusk")


def test_models_are_loaded_once_and_only_those_of_the_page(studio):
    assert studio.translator("tiny") is studio.translator("tiny")
    for name in ("other", "../tiny", DAYNIGHT):
        with pytest.raises(I2IError, match="This page has no model"):
            studio.translator(name)
    assert DAYNIGHT in demo.Studio(device="cpu").models


def test_examples_are_the_side_that_the_model_reads(studio):
    found = studio.examples("tiny")
    assert len(found) == demo.EXAMPLES
    for name, data in found:
        picture = Image.open(io.BytesIO(data))
        assert name.endswith(".png")
        assert picture.size == (128, 128)  # one half of a pair
    for model in (DAYNIGHT, "colorize_earth"):  # it colors the halves of the pairs that its card names
        assert len(demo.Studio([model], "cpu").examples(model)) == demo.EXAMPLES


def test_what_the_command_refuses(tmp_path, monkeypatch):
    _, err = i2i("demo", "--model", "cyclegan_daynigth", code=1)
    assert DAYNIGHT in err
    noise = model_file.save(
        tmp_path / "noise.safetensors", {"G": nets.build("resnet", blocks=1, width=4)}, {"kind": "generate"}
    )
    _, err = i2i("demo", "--model", noise, code=1)
    assert "i2i generate" in err
    i2i("demo", "--port", "99999", code=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _, err = i2i("demo", "--port", taken.getsockname()[1], code=1)
    assert "is in use" in err
    _, err = i2i("demo", "--host", "192.0.2.1", code=1)
    assert "not an address of this machine" in err


def test_without_gradio_the_extra_is_named(monkeypatch, tiny):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    before = signal.getsignal(signal.SIGTERM)
    _, err = i2i("demo", "--model", tiny, code=1)
    assert "pip install 'i2i-toolkit[demo]'" in err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def page(tmp_path):
    """The address of the page of a process of its own, and that process's folder for temporary files."""
    pytest.importorskip("gradio")
    port = free_port("127.0.0.1", None)
    words = ("demo", "--model", DAYNIGHT, "--port", port, "--max-upload", "0.1", "--device", "cpu", "--json")
    process = start(*words, env={"TMPDIR": str(tmp_path)})
    try:
        line = json.loads(process.stdout.readline())
        assert line["models"] == [DAYNIGHT]
        yield line["address"], tmp_path
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "KeyboardInterrupt" not in err
    assert list(tmp_path.glob("i2i-demo-*")) == []


def forged(address, path):
    """What the server says to a client that sends a path in place of an upload."""
    settings = json.load(urllib.request.urlopen(f"{address}/config"))
    event = next(d for d in settings["dependencies"] if d["api_name"] == "translate")
    upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [DAYNIGHT, upload], "fn_index": event["id"], "session_hash": "forged", "trigger_id": None}
    kind = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{address}/gradio_api/queue/join", json.dumps(body).encode(), kind))
    with urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash=forged", timeout=30) as lines:
        return next(line.decode() for line in lines if b"process_completed" in line)


@pytest.mark.slow
def test_the_page_in_a_browser(page, tmp_path):
    api = pytest.importorskip("playwright.sync_api")
    address, _ = page
    good, text, large = tmp_path / "good.png", tmp_path / "text.png", tmp_path / "large.png"
    good.write_bytes(encoded(64, 48))
    text.write_text("no image")
    large.write_bytes(encoded(300, 300))
    assert large.stat().st_size > 100_000
    asked = []
    with api.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=browser.chromium(), args=["--no-sandbox"])
        shown = window.new_page()
        shown.set_default_timeout(60_000)
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(address)
        field = shown.locator("#image input[type=file]")
        heading = shown.get_by_text("Or click on an example").bounding_box()
        first = shown.locator("#examples img").first.bounding_box()
        assert first["y"] >= heading["y"] + heading["height"]
        field.set_input_files(good)
        with shown.expect_download() as waiting:
            shown.locator("#download").click()
        waiting.value.save_as(tmp_path / "made.png")
        assert waiting.value.suggested_filename == f"good.{DAYNIGHT}.png"
        assert shown.locator("#result img").count() == 2
        for wrong, words in ((text, "text.png is not an image"), (large, "size")):
            shown.locator("#image button[aria-label=Clear]").click()
            field.set_input_files(wrong)
            shown.locator(".toast-body", has_text=words).last.wait_for()
        window.close()
    made, expected = Image.open(tmp_path / "made.png"), library.load(DAYNIGHT, "cpu")(Image.open(good))
    assert np.array_equal(np.asarray(made), np.asarray(expected))
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert asked
    assert outside == []
    assert "Addresses are not fetched" in forged(address, "http://example.org/picture.png")
    assert '"success":false' in forged(address, str(good))  # a path that was not uploaded
    for path in ("/etc/passwd", str(good), "pyproject.toml"):  # no file of this machine is handed out
        with pytest.raises(urllib.error.HTTPError, match=r"40\d"):
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
