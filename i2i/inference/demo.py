"""The use case "demo": a web page on which images are dropped and come out translated, with a slider between.

`Studio` is what the page does, without any server: models loaded once, one forward at a time, examples, errors in
sentences. `serve` shows it with gradio (extra `demo`). Clients give bytes and choices, never paths or addresses; what
they upload lies in a private folder that is emptied by the hour and gone with the server.
"""

from __future__ import annotations

import errno
import html
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i.core import resources
from i2i.core.errors import I2IError, nearest
from i2i.core.format import format_bytes
from i2i.core.optional import require
from i2i.data import cards
from i2i.inference.jobs import reason
from i2i.inference.translate import translate_bytes
from i2i.media import codec, color, exif, images
from i2i.models import zoo
from i2i.models.load import display_name, load
from i2i.models.translator import Translator

HOST, PORT, PORTS = "127.0.0.1", 7860, 100  # the first of as many ports that are tried
LOOPBACK = ("127.0.0.1", "localhost")
VIEW = 2048  # pixels, longer side of what the page shows; the download has them all
WAITING = 8  # requests in the queue; more are told to come again
EXAMPLES = 6  # images a model
KEPT = 3600  # seconds that uploads and results stay on the disk
UPLOAD = 20.0  # MB


@dataclass(frozen=True)
class DemoResult:
    """A translated image: the file in full, its name, and both images as the page shows them (RGB, equal sizes)."""

    name: str
    data: bytes
    before: Image.Image
    after: Image.Image
    size: tuple[int, int]  # width and height of the file's image


class Studio:
    """What the page does, without a server. Safe to call from threads; the network runs once at a time."""

    def __init__(self, models: Sequence[str] = (), device: str = "auto", max_pixels: int = images.MAX_PIXELS) -> None:
        """models: as `i2i.load` takes them, loaded at once; none: the models by name that are on this disk, loaded when
        they are chosen. max_pixels: of an upload, all its frames together. Raises I2IError for an unknown model."""
        self.options = codec.WriteSettings(max_pixels=max_pixels)
        self._device, self._loaded = device, dict[str, Translator]()
        self._loading, self._running = threading.Lock(), threading.Lock()
        given = list(dict.fromkeys(map(str, models))) or [n for n in zoo.names() if zoo.path_of(n).is_file()]
        if not given:
            raise I2IError("No model is on this disk.", "Name one with --model; `i2i models` lists what there is.")
        short = [display_name(m) for m in given]
        self.models = {s if short.count(s) == 1 else m: m for s, m in zip(short, given)}  # name on the page: model
        for name in self.models if models else ():
            self.translator(name)

    def translator(self, name: str) -> Translator:
        """The model of that name on the page, loaded once. Raises I2IError for any other name."""
        if name not in self.models:
            raise I2IError(f"No model of this page is called {name!r}.", nearest(str(name), self.models))
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = load(self.models[name], self._device)
            return self._loaded[name]

    def about(self, name: str) -> str:
        """What a model turns into what, in a line; empty if it is not known."""
        model = self.models.get(name, "")
        if model in zoo.names():
            card = zoo.card(model)
            return f"{card.reads[:1].upper()}{card.reads[1:]} → {card.makes}"
        data = self.translator(name).header.get("data") or ()
        names = [Path(str(d)).name for d in ([data] if isinstance(data, str) else data)]
        return f"Trained on {', '.join(names)}" if names else ""

    def examples(self, name: str) -> list[tuple[str, bytes]]:
        """(file name, bytes) of a few images like those that a model was trained on; none if none came with i2i."""
        header = self.translator(name).header
        data = header.get("data") or ()
        back = header.get("direction") == "BtoA"
        found: list[tuple[str, bytes]] = []
        for one in [data] if isinstance(data, str) else data:
            folder = resources.shipped("datasets") / str(one)
            if str(one) not in cards.names() or not folder.is_dir():
                continue
            paired = (folder / "test").is_dir()
            files = images.find_images(folder / ("test" if paired else "testB" if back else "testA"))
            for path in files[:: max(1, len(files) // EXAMPLES)][:EXAMPLES]:
                found.append((f"{path.stem}.png", _half(path, back)) if paired else (path.name, path.read_bytes()))
        return found[:EXAMPLES]

    def translate(self, name: str, file: str, data: bytes) -> DemoResult:
        """The image file `data` through a model, in its own size and format, with its metadata.

        file: its name, for the result's and for errors. Raises I2IError if it is no image, damaged, or too large."""
        translator = self.translator(name)
        with self._running:
            out = translate_bytes(data, translator, self.options, name=file)
        before, after = self._view(data), self._view(out)
        with Image.open(io.BytesIO(out)) as image:
            kind, size = (image.format or "png").lower(), image.size
        suffix = {"jpeg": "jpg", "tiff": "tif"}.get(kind, kind)
        if before.size != after.size:  # of an enlarging network
            before = before.resize(after.size, Image.Resampling.BICUBIC)
        return DemoResult(f"{Path(file).stem or 'picture'}.{display_name(name)}.{suffix}", out, before, after, size)

    def _view(self, data: bytes) -> Image.Image:
        """The (first) image of a file as a browser shows it: upright, sRGB, on white, not too large."""
        with images.open_image(io.BytesIO(data), max(self.options.max_pixels, images.MAX_PIXELS)) as image:
            image = images.convert(color.into_srgb(image, exif.icc_profile(image))[0], 3)
            image.thumbnail((VIEW, VIEW))
            image.info.clear()
            return image


def _half(path: Path, right: bool) -> bytes:
    """One side of an image that holds A and B side by side, as PNG."""
    with images.open_image(path) as image:
        middle = image.width // 2
        buffer = io.BytesIO()
        side = image.crop((middle, 0, image.width, image.height) if right else (0, 0, middle, image.height))
        side.save(buffer, "PNG")
        return buffer.getvalue()


def free_port(host: str, port: int | None) -> int:
    """`port`, or the first free one from 7860 on. Raises I2IError if it is taken, or `host` is none of this machine."""
    for tried in [port] if port is not None else range(PORT, PORT + PORTS):
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, tried, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(address)
                return int(one.getsockname()[1])
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise I2IError(f"Port {tried} needs the rights of the administrator.", "Give 1024 to 65535.") from error
            if error.errno != errno.EADDRINUSE:
                raise I2IError(f"{host} is no address of this machine.", "127.0.0.1 or 0.0.0.0 is.") from error
    which = f"Port {port} is taken." if port is not None else f"The ports {PORT} to {PORT + PORTS - 1} are all taken."
    raise I2IError(which, "Give another --port, or none for the next free one." if port is not None else "")


def serve(
    studio: Studio,
    host: str = HOST,
    port: int | None = None,
    max_upload: float = UPLOAD,
    show: bool = False,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves the page until it is interrupted (KeyboardInterrupt ends it quietly).

    host: 127.0.0.1 is for this machine only. port: None: 7860 or the next free one. max_upload: MB (10^6 bytes) of a
    file. show: opens the browser. ready(address) is told when the page answers. Raises I2IError without gradio, or for
    a port that is taken."""
    main, before = threading.current_thread() is threading.main_thread(), signal.getsignal(signal.SIGTERM)
    if main:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was uploaded goes then, too
    folder = tempfile.mkdtemp(prefix="i2i-demo-")  # for this user only
    # nothing is reported or looked up outside; gradio reads these when it is imported or first used
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", GRADIO_TEMP_DIR=folder
    )
    for variable in ("no_proxy", "NO_PROXY"):  # gradio asks itself whether it is there
        os.environ[variable] = ",".join(filter(None, [os.environ.get(variable, ""), *LOOPBACK]))
    try:
        gr = gradio()
        port = free_port(host, port)
        app = page(studio, Path(folder))
        guard: dict[str, Any] = {}
        if host in LOOPBACK:  # a page elsewhere whose name leads here by a trick is not answered
            from starlette.middleware import Middleware
            from starlette.middleware.trustedhost import TrustedHostMiddleware

            guard = {"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))]}
        try:
            app.launch(
                server_name=host, server_port=port, inbrowser=show, share=False, quiet=True, prevent_thread_lock=True,
                max_file_size=int(max_upload * 1e6), allowed_paths=[], show_error=False, ssr_mode=False, pwa=False,
                mcp_server=False, enable_monitoring=False, footer_links=[], app_kwargs=guard, css=CSS,
                theme=gr.themes.Soft(
                    primary_hue="blue", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["monospace"]
                ),
            )  # fmt: skip
            name = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{port}")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
        finally:
            app.close(verbose=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if main:
            signal.signal(signal.SIGTERM, before)


def gradio() -> Any:
    """The module. Raises I2IError if it is not installed."""
    return require("gradio", "demo", "The demo")


CSS = """
.gradio-container {max-width: 1080px !important; margin: auto}
#about p {opacity: .75; margin: 0}
#head h1 {margin-bottom: .1em}
"""
HELP = "Drop an image and move the slider. Its size and format are kept; it stays on the computer that runs this page."


def _only_uploads(file: Any) -> Any:
    """The gr.File, giving (name, bytes), and refusing an address in an upload's place, which gradio would fetch."""
    move = file.async_move_resource_to_block_cache

    async def checked(path: Any) -> Any:
        if "://" in str(path):
            raise gradio().Error("Addresses are not fetched.", print_exception=False)
        return await move(path)

    def taken(payload: Any) -> tuple[str, bytes] | None:
        return None if payload is None else (Path(payload.path).name, Path(payload.path).read_bytes())

    file.async_move_resource_to_block_cache, file.preprocess = checked, taken
    return file


def page(studio: Studio, folder: Path) -> Any:
    """The page as gradio's Blocks. folder: a private one, for results and examples on their way to the browser."""
    gr = gradio()

    def put(name: str, data: bytes) -> str:
        """A file for gradio, which takes a copy at once."""
        for old in folder.glob("out-*"):
            if time.time() - old.stat().st_mtime > 60:
                shutil.rmtree(old, ignore_errors=True)
        path = Path(tempfile.mkdtemp(prefix="out-", dir=folder)) / name
        path.write_bytes(data)
        return str(path)

    def told(error: Exception) -> Any:
        text = f"{error.what} {error.hint}".strip() if isinstance(error, I2IError) else reason(error)
        return gr.Error(html.escape(text, quote=False), duration=None, print_exception=False)

    def translate(name: str, picture: tuple[str, bytes] | None) -> tuple[Any, Any]:
        if picture is None:
            return None, gr.DownloadButton(visible=False)
        try:
            made = studio.translate(name, *picture)
            file = put(made.name, made.data)
        except Exception as error:  # noqa: BLE001 (whatever it is, the page says a sentence)
            raise told(error) from None
        label = f"Download {made.size[0]} × {made.size[1]}, {format_bytes(len(made.data))}"
        return (made.before, made.after), gr.DownloadButton(label, value=file, visible=True)

    def shelf(name: str) -> Any:
        pictures = [Image.open(io.BytesIO(data)) for _, data in studio.examples(name)]
        return gr.Gallery(pictures, visible=bool(pictures), selected_index=None)

    def choose(name: str) -> tuple[Any, Any]:
        try:
            return studio.about(name), shelf(name)
        except Exception as error:  # noqa: BLE001
            raise told(error) from None

    def example(name: str, event: gr.SelectData) -> Any:  # type: ignore[name-defined]
        try:
            known = studio.examples(name)
        except Exception as error:  # noqa: BLE001
            raise told(error) from None
        return put(*known[event.index]) if event.index in range(len(known)) else None

    example.__annotations__["event"] = gr.SelectData  # gradio looks for the class, not its name
    names = list(studio.models)
    with gr.Blocks(title="i2i", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as app:
        gr.Markdown(f"# Image to image\n{HELP}", elem_id="head")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                model = gr.Dropdown(names, value=names[0], label="Model", visible=True, interactive=len(names) > 1)
                about = gr.Markdown(studio.about(names[0]), elem_id="about")
                picture = _only_uploads(gr.File(label="Picture", height=150, elem_id="picture"))
                gallery = gr.Gallery(
                    label="Examples", show_label=False, columns=3, height="auto", allow_preview=False,
                    interactive=False, buttons=[], object_fit="cover", format="png", elem_id="examples",
                )  # fmt: skip
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(
                    label="Before | after", format="png", interactive=False, buttons=["fullscreen"], height=520,
                    max_height=520, elem_id="result",
                )  # fmt: skip
                download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")
        one = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        light = {"show_progress": "hidden", "api_visibility": "private"}
        picture.change(translate, [model, picture], [slider, download], show_progress_on=[slider], **one)
        model.change(choose, model, [about, gallery], **light)
        model.change(translate, [model, picture], [slider, download], show_progress_on=[slider], **one)
        gallery.select(example, model, picture, **light)
        app.load(shelf, model, gallery, **light)
    return app.queue(max_size=WAITING, default_concurrency_limit=2)
