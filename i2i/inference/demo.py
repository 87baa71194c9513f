"""The use case "demo": what a web page does on which images are dropped and come out translated.

`Studio` is that logic without any server: models are loaded once, one image runs through a network at a time, examples
come with the models, and errors are sentences. The page is in demo_page, the server in demo_server.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from i2i.core import resources
from i2i.core.errors import I2IError, nearest
from i2i.data import cards
from i2i.inference.translate import translate_bytes
from i2i.media import codec, images, pixels
from i2i.media.formats import open_pillow
from i2i.models import zoo
from i2i.models.answers import AnswerSettings, file_labels
from i2i.models.load import display_name, load
from i2i.models.translator import Translator

VIEW = 2048  # pixels; longer side of an image on the page; the download has all of them
EXAMPLES = 6  # images for each model


@dataclass(frozen=True)
class DemoResult:
    """A translated image: its file and that file's name, and both images as the page shows them (RGB, equal sizes)."""

    name: str
    data: bytes
    before: Image.Image
    after: Image.Image
    size: tuple[int, int]  # width and height of the image in the file


class Studio:
    """What the page does, without a server. Safe to call from threads; the network runs for one image at a time.

    models: as `i2i.load` takes them; they are loaded at once. None: the published models that are on this disk; they
    are loaded when they are chosen. max_pixels: of an upload, all its frames together. method: the user's own method
    file that defines the networks of a model; **its code is run**. Raises I2IError if a model is unknown, or there is
    none.
    """

    def __init__(
        self,
        models: Sequence[str] = (),
        device: str = "auto",
        max_pixels: int = images.MAX_PIXELS,
        method: str | Path | None = None,
    ) -> None:
        self.settings = codec.WriteSettings(max_pixels=max_pixels)
        self._device, self._method, self._loaded = device, method, dict[str, Translator]()
        self._loading, self._running = threading.Lock(), threading.Lock()
        on_disk = (name for name in zoo.names("translate") if zoo.path_of(name).is_file())
        sources = list(dict.fromkeys(map(str, models or on_disk)))
        if not sources:
            raise I2IError("There is no model on this disk.", "Give one with --model; `i2i models` lists names.")
        names = [display_name(source) for source in sources]
        # name on the page -> model; two models of one name are shown by their paths
        self.models = {n if names.count(n) == 1 else source: source for n, source in zip(names, sources)}
        for name in self.models if models else ():
            self.translator(name)

    def translator(self, name: str) -> Translator:
        """The model of that name on the page, loaded once. Raises I2IError for any other name."""
        if name not in self.models:
            raise I2IError(f"This page has no model {name!r}.", nearest(str(name), self.models))
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = load(self.models[name], self._device, method=self._method)
            return self._loaded[name]

    def domains(self, name: str) -> tuple[str, ...]:
        """The domains among which a model translates, if it has several; else empty."""
        domains = tuple(getattr(self.translator(name).saved_network, "domains", ()))
        return domains if len(domains) > 1 else ()

    @property
    def has_domains(self) -> bool:
        """Whether a model that was given has several domains. The published models have none."""
        return any(self.domains(name) for name in self._loaded)

    def about(self, name: str) -> str:
        """One line: what the model turns into what, or what it was trained on; empty if neither is known."""
        model = self.models.get(name, "")
        if model in zoo.names():
            card = zoo.card(model)
            return f"{card.reads[:1].upper()}{card.reads[1:]} → {card.makes}"
        data_sets = [Path(source).name for source in self._trained_on(name)]
        return f"Trained on {', '.join(data_sets)}" if data_sets else ""

    def examples(self, name: str) -> list[tuple[str, bytes]]:
        """(file name, bytes) of up to six images like the inputs of a model's training.

        They are test images of the data sets that come with i2i: of the one that its card names, or of its training."""
        from_b = self.translator(name).header.get("direction") == "BtoA"
        examples: list[tuple[str, bytes]] = []
        model = self.models.get(name, "")
        card_examples = zoo.card(model).examples if model in zoo.names() else ""
        for source in [card_examples] if card_examples else self._trained_on(name):
            folder = resources.shipped("datasets") / source
            if source not in cards.names() or not folder.is_dir():
                continue
            paired = (folder / "test").is_dir()
            paths = images.find_images(folder / ("test" if paired else "testB" if from_b else "testA"))
            for path in paths[:: max(1, len(paths) // EXAMPLES)][:EXAMPLES]:
                if paired:
                    examples.append((f"{path.stem}.png", _half(path, right=from_b)))
                else:
                    examples.append((path.name, path.read_bytes()))
        return examples[:EXAMPLES]

    def _trained_on(self, name: str) -> list[str]:
        """The data of a model's training, as its header says: names of data sets, or paths."""
        data = self.translator(name).header.get("data") or ()
        return [str(source) for source in ([data] if isinstance(data, str) else data)]

    def translate(self, name: str, file: str, data: bytes, to: str = "") -> DemoResult:
        """The image file `data` through a model, in its own size and format, with its metadata.

        file: its name, for the result's name and for errors. to: the domain, of a model with several; the first one
        without it. Raises I2IError if it is no image, damaged, or too large, or if there is no such domain."""
        translator = self.translator(name)
        label = display_name(name)
        if domains := self.domains(name):
            translator = translator.with_answer(AnswerSettings([to or domains[0]]))
            label = f"{label}.{file_labels(domains)[domains.index(to) if to in domains else 0]}"
        with self._running:
            translated = translate_bytes(data, translator, self.settings, name=file)
        before, after = self._view(data), self._view(translated)
        if before.size != after.size:  # the network enlarges
            before = before.resize(after.size, Image.Resampling.BICUBIC)
        with open_pillow(io.BytesIO(translated)) as image:
            kind, size = (image.format or "png").lower(), image.size
        suffix = {"jpeg": "jpg", "tiff": "tif"}.get(kind, kind)
        name_of_result = f"{Path(file).stem or 'image'}.{label}.{suffix}"
        return DemoResult(name_of_result, translated, before, after, size)

    def _view(self, data: bytes) -> Image.Image:
        """The (first) image of a file as a browser shows it: upright, sRGB, on white, at most VIEW pixels a side."""
        with pixels.opened(io.BytesIO(data), 3, max(self.settings.max_pixels, images.MAX_PIXELS)) as image:
            image.thumbnail((VIEW, VIEW))
            image.info.clear()
            return image


def _half(path: Path, right: bool) -> bytes:
    """The left or right half of an image that holds A and B side by side, as PNG."""
    with images.open_image(path) as image:
        middle = image.width // 2
        half = image.crop((middle, 0, image.width, image.height) if right else (0, 0, middle, image.height))
        buffer = io.BytesIO()
        half.save(buffer, "PNG")
        return buffer.getvalue()
