"""The page of the demo, made with gradio (extra `demo`): what it shows, and which event calls what.

Browsers send bytes and choices, never paths or addresses of this machine.
"""

from __future__ import annotations

import html
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from i2i.core import escape
from i2i.core.errors import I2IError
from i2i.core.format import format_bytes
from i2i.core.optional import require
from i2i.inference.demo import Studio
from i2i.inference.demo_storage import Storage
from i2i.inference.jobs import reason
from i2i.media.formats import open_pillow

QUEUE = 8  # requests that wait; further ones are refused with a message
HELP = (
    "Drop an image and move the slider. The format is kept, and so is the size, unless the "
    "model enlarges images. The image stays on the computer that runs this page, "
    "and is removed there after half an hour."
)
CSS = """
#examples .grid-wrap { padding-top: 40px; min-height: 0; }
.gradio-container {max-width: 1080px !important; margin: auto}
#about p {opacity: .75; margin: 0}
#head h1 {margin-bottom: .1em}
"""


def gradio() -> Any:
    """The module gradio. Raises I2IError if it is not installed."""
    return require("gradio", "demo", "The demo")


def page(studio: Studio, storage: Storage) -> Any:
    """The page as gradio's Blocks. storage: for uploads, and for results and examples on their way to the browser."""
    gr = gradio()
    on = _Handlers(studio, storage)
    names = list(studio.models)
    with gr.Blocks(title="i2i", analytics_enabled=False) as app:
        # left: model, upload and examples; right: the result
        gr.Markdown(f"# Image to image\n{HELP}", elem_id="head")
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                model = gr.Dropdown(names, value=names[0], label="Model", visible=True, interactive=len(names) > 1)
                domains = list(studio.domains(names[0])) if studio.has_domains else []
                domain = gr.Dropdown(
                    domains, value=next(iter(domains), None), label="Translate to", visible=bool(domains)
                )
                about = gr.Markdown(escape.markdown(studio.about(names[0])), elem_id="about")
                upload = _only_uploads(gr.File(label="Image", height=150, elem_id="image"))
                gallery = gr.Gallery(
                    label="Or click on an example", columns=3, height="auto", allow_preview=False,
                    interactive=False, buttons=[], object_fit="cover", format="png", elem_id="examples",
                )  # fmt: skip
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(
                    label="Before | after", format="png", interactive=False, buttons=["fullscreen"], height=520,
                    max_height=520, elem_id="result",
                )  # fmt: skip
                download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")

        # events that run the network wait for each other
        network = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
        light = {"show_progress": "hidden", "api_visibility": "private"}
        inputs = [model, upload, domain] if studio.has_domains else [model, upload]
        translating = {"fn": on.translate, "inputs": inputs, "outputs": [slider, download], **network}
        upload.change(show_progress_on=[slider], **translating)
        chosen = model.change(on.choose_model, model, [about, gallery], **light)
        if studio.has_domains:  # first the domains of the chosen model
            domain.input(show_progress_on=[slider], **translating)
            chosen = chosen.then(on.domains, model, domain, **light)
            chosen.then(show_progress_on=[slider], **translating)
            app.load(on.domains, model, domain, **light)
        else:
            model.change(show_progress_on=[slider], **translating)
        gallery.select(on.example_handler(), [model], upload, **light)
        app.load(on.gallery, model, gallery, **light)
    return app.queue(max_size=QUEUE, default_concurrency_limit=2)


class _Handlers:
    """What the events of the page call. Each failure becomes a message on the page."""

    def __init__(self, studio: Studio, storage: Storage) -> None:
        self.gr, self.studio, self.storage = gradio(), studio, storage

    def translate(self, name: str, upload: tuple[str, bytes] | None, to: str | None = None) -> tuple[Any, Any]:
        """Model, (file name, bytes) and domain -> images of the slider, and the download button."""
        if upload is None:
            return None, self.gr.DownloadButton(visible=False)
        try:
            with self.storage.reserve(3 * len(upload[1])) as has_room:  # the result, twice, and what the slider shows
                if not has_room:
                    raise I2IError("The page holds as many files as it may.", "Try again in a few minutes.")
                result = self.studio.translate(name, *upload, to or "")
            file = self._file_for_gradio(result.name, result.data)
        except Exception as error:  # noqa: BLE001 (whatever it is, the page shows a sentence)
            raise self._message(error) from None
        label = f"Download {result.size[0]} × {result.size[1]}, {format_bytes(len(result.data))}"
        return (result.before, result.after), self.gr.DownloadButton(label, value=file, visible=True)

    def choose_model(self, name: str) -> tuple[str, Any]:
        """Model -> the line about it, and its examples."""
        try:
            return escape.markdown(self.studio.about(name)), self.gallery(name)
        except Exception as error:  # noqa: BLE001
            raise self._message(error) from None

    def domains(self, name: str) -> Any:
        """Model -> the list of its domains; hidden if it has one or none."""
        try:
            names = self.studio.domains(name)
        except Exception as error:  # noqa: BLE001
            raise self._message(error) from None
        return self.gr.Dropdown(list(names), value=names[0] if names else None, visible=bool(names))

    def gallery(self, name: str) -> Any:
        """Model -> its examples."""
        examples = [open_pillow(io.BytesIO(data)) for _, data in self.studio.examples(name)]
        return self.gr.Gallery(examples, visible=bool(examples), selected_index=None)

    def example_handler(self) -> Any:
        """A function that takes the model and the event of a click on an example, and gives that example's file."""

        def example(name: str, event: Any) -> str | None:
            try:
                examples = self.studio.examples(name)
            except Exception as error:  # noqa: BLE001
                raise self._message(error) from None
            return self._file_for_gradio(*examples[event.index]) if event.index in range(len(examples)) else None

        example.__annotations__["event"] = self.gr.SelectData  # gradio looks for the class, not for its name
        return example

    def _file_for_gradio(self, name: str, data: bytes) -> str:
        """A file that gradio copies at once; the ones before it are removed after a minute."""
        for old in self.storage.folder.glob("out-*"):
            if time.time() - old.stat().st_mtime > 60:
                shutil.rmtree(old, ignore_errors=True)
        path = Path(tempfile.mkdtemp(prefix="out-", dir=self.storage.folder)) / name
        path.write_bytes(data)
        return str(path)

    def _message(self, error: Exception) -> Any:
        text = f"{error.what} {error.hint}".strip() if isinstance(error, I2IError) else reason(error)
        return self.gr.Error(html.escape(text, quote=False), duration=None, print_exception=False)


def _only_uploads(file: Any) -> Any:
    """A gr.File whose value is (name, bytes). It refuses an address instead of an upload, which gradio would fetch."""
    move = file.async_move_resource_to_block_cache

    async def move_upload(path: Any) -> Any:
        if "://" in str(path):
            raise gradio().Error("Addresses are not fetched.", print_exception=False)
        return await move(path)

    def read_upload(payload: Any) -> tuple[str, bytes] | None:
        try:
            return None if payload is None else (Path(payload.path).name, Path(payload.path).read_bytes())
        except FileNotFoundError:
            text = "The image was removed here in the meantime. Drop it again."
            raise gradio().Error(text, print_exception=False) from None

    file.async_move_resource_to_block_cache, file.preprocess = move_upload, read_upload
    return file
