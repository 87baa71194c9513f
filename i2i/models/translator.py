"""A model that translates images, as a function: what `i2i.load` returns.

PIL images, arrays, tensors, paths and lists of them go in. Each comes out as the same kind and in its own size, or
larger by the scale of a network that enlarges images:

| in                                    | values                              | out                                 |
|---------------------------------------|-------------------------------------|-------------------------------------|
| `PIL.Image`                           | any mode; EXIF orientation applied  | `PIL.Image`                         |
| path, bytes of a file, open file      | as above                            | `PIL.Image`                         |
| array [H, W] or [H, W, C]             | uint8, uint16, or floats in [0, 1]  | array of the same dtype             |
| tensor [C, H, W] or [B, C, H, W]      | floats in [-1, 1], or uint8         | tensor of the same dtype and device |

Gray and color images are converted to the channels of the network; tensors must have them already. Transparent images
are laid on white for the network, as in training, and their alpha channel is put back unchanged. PIL images and files
with a color profile are converted to sRGB for the network, and back to their profile after it. 16 bits stay 16 bits,
except for color in PIL images: Pillow has no 16-bit color.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, Unpack, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from i2i.core.errors import I2IError
from i2i.media import adapt
from i2i.media.adapt import PreparedImage, Size
from i2i.media.palette import Palette
from i2i.models.answers import AnswerSettings, CallOptions, ChoiceOptions, answers_of, choice_of, who_understands
from i2i.models.header import channels_of, check_header
from i2i.models.precision import DTYPES, MIXED
from i2i.models.runner import Runner
from i2i.models.stepwise import run_chain
from i2i.models.tiled_image import run_tiles
from i2i.models.tiling import TileSettings, Tiling
from i2i.models.weights import weights_digest
from i2i.nets.blocks import eval_mode
from i2i.nets.chain import Chain
from i2i.nets.choice import PARTS, Choice, Choosing

Kind = TypeVar("Kind", Image.Image, np.ndarray, Tensor)  # what comes out as it went in
Files: TypeAlias = list[str] | list[Path] | list[str | Path] | list[bytes] | tuple[str | Path, ...]
SMALLEST = 8  # pixels; smaller images are padded, because norms and paddings cannot work on inner maps of one pixel


class Translator:
    """A model as a function of images; the table above lists their kinds. Safe to call from threads.

    network: maps [B, channels_in, H, W] in [-1, 1] to [B, channels_out, H, W]; both sides may be `scale` times as long,
    if its attribute `scale` or the header says so. It is not copied: it is put into eval mode and its parameters stop
    requiring gradients.
    header: of the saved model; `i2i.models.load.translator_of` tells which entries count.
    name: shown in messages. dtype: torch.bfloat16 or torch.float16; None: float32. tiling: see TileSettings.
    Raises I2IError if the tile size cannot be used with this network.
    """

    def __init__(
        self,
        network: nn.Module,
        header: Mapping[str, Any],
        name: str = "model",
        dtype: torch.dtype | None = None,
        tiling: TileSettings | None = None,
    ) -> None:
        check_header(name, header)
        self.header, self.name = dict(header), name
        self.noisy = bool(header.get("dropout_at_test"))
        self.network = eval_mode(network, bool(header.get("train_mode_norm")), self.noisy).requires_grad_(False)
        self.saved_network = self.network  # `network` becomes one of its answers in with_choice
        self.choice = Choice()
        arguments: dict[str, Any] = dict(getattr(network, "arguments", {}))
        self.channels_in, self.channels_out = channels_of(name, arguments, header)
        self.multiple = int(getattr(network, "multiple", header.get("multiple", 1)))
        scale = getattr(network, "scale", header.get("scale", 1))
        self.scale = scale if type(scale) is int and scale > 0 else 1  # output pixels a side for an input pixel
        palette = header.get("palette") or arguments.get("palette")
        self.palette = Palette.of_text(palette) if palette else None  # of label maps as inputs
        self.runner = Runner(self.network, dtype, self.noisy)
        self.only_bytes = False  # compute images of more than 8 bits in float32
        self.tiling = Tiling(self.network, self.channels_in, self.multiple, tiling)
        self.tiling.check(name)

    def __repr__(self) -> str:
        kind = type(self.network).__name__
        return f"Translator({self.name!r}, {kind} {self.channels_in} -> {self.channels_out} channels, {self.device})"

    # ---- images in, images out -------------------------------------------------------------------------------------

    @overload
    def __call__(self, images: str | Path | bytes | BinaryIO, **options: Unpack[CallOptions]) -> Image.Image: ...

    @overload
    def __call__(self, images: Image.Image, **options: Unpack[CallOptions]) -> Image.Image: ...

    @overload
    def __call__(self, images: np.ndarray, **options: Unpack[CallOptions]) -> np.ndarray: ...

    @overload
    def __call__(self, images: Tensor, **options: Unpack[CallOptions]) -> Tensor: ...

    @overload
    def __call__(self, images: Files, **options: Unpack[CallOptions]) -> list[Image.Image]: ...

    @overload
    def __call__(self, images: list[Kind] | tuple[Kind, ...], **options: Unpack[CallOptions]) -> list[Kind]: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...], **options: Unpack[CallOptions]) -> list[Any]: ...

    def __call__(self, images: Any, *, size: Size = None, batch: int = 8, **choice: Unpack[ChoiceOptions]) -> Any:
        """Translates an image or a list of images.

        size: of the outputs. None keeps the size of each image, or multiplies it by the scale of a network that
        enlarges; N makes the shorter side N pixels; (width, height) is exact.
        batch: most images in one pass of the network. Only images of one padded size share a pass, and the result does
        not depend on it (except for rounding in the last bits on a GPU). Images that need more memory than there is are
        translated in tiles.
        choice: which answer of a model with several: to="A,B" (domains), seed and answer (whole numbers from 0; of the
        noise), like (an example image), steps (of a sampler).
        Raises I2IError for something that is not an image, or has channels that do not fit, and for a choice that the
        model does not have.
        """
        if choice:
            chosen = choice_of(choice, getattr(self.saved_network, "domains", ()), self.channels_out)
            return self.with_choice(chosen)(images, size=size, batch=batch)
        if not isinstance(batch, int):
            raise I2IError(f"The batch is {batch!r}.", "Give a whole number.")
        if isinstance(images, Tensor) and images.ndim == 4:
            if not len(images):
                raise I2IError("A batch without images was given.", "Give [B, C, H, W] with B of 1 or more.")
            return torch.stack(self([*images], size=size, batch=batch))
        if not isinstance(images, list | tuple):
            return self([images], size=size, batch=batch)[0]

        # Group the images by padded size, and run each group in batches.
        has_palette = self.palette is not None
        prepared = [self.adapt(self.prepare(image).resized(size, self.scale, has_palette)) for image in images]
        groups: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(prepared):
            groups.setdefault(self.padded_size(image), []).append(i)
        outputs = [None] * len(prepared)
        for padded, members in groups.items():
            step = max(1, batch) if self.tiling.fits(padded) else 1
            for start in range(0, len(members), step):
                part = members[start : start + step]
                for i, levels in zip(part, self.levels([prepared[i] for i in part])):
                    outputs[i] = self.restore(prepared[i], levels)
        return outputs

    def with_answer(self, settings: AnswerSettings) -> Translator:
        """The same model with the one answer that is wanted. Raises I2IError if several are."""
        if settings.is_default:
            return self
        wanted = answers_of(settings, self.saved_network, self.channels_out)
        if len(wanted) > 1:
            raise I2IError(f"{len(wanted)} answers were asked for where one image is made.", "Ask for one of them.")
        return self.with_choice(wanted[0].choice)

    def answers(
        self,
        images: Any,
        *,
        to: str | Sequence[str] = (),
        answers: int = 1,
        seed: int = 0,
        like: Any = None,
        steps: int | None = None,
        size: Size = None,
        batch: int = 8,
    ) -> dict[str, Any]:
        """Several answers, by domain (to="all") or number: {"Blond_Hair": ..., ...} or {"1": ..., "2": ...}.

        Each is what a call returns. Raises I2IError as a call does."""
        settings = AnswerSettings(to, answers, seed, like, steps)
        wanted = answers_of(settings, self.saved_network, self.channels_out)
        return {one.label or "1": self.with_choice(one.choice)(images, size=size, batch=batch) for one in wanted}

    def prepare(self, image: Any) -> PreparedImage:
        """Prepares an image of any kind for the network. Raises I2IError if it is not an image."""
        return adapt.prepare(image, self.channels_in)

    def adapt(self, image: PreparedImage) -> PreparedImage:
        """What the network is shown of a prepared image, with the way back from it; here the image itself."""
        return image

    def restore(self, prepared: PreparedImage, levels: np.ndarray) -> Any:
        """The output `levels` [H, W, C] in the kind of the image, and with its alpha channel."""
        return adapt.restore(prepared, levels)

    def padded_size(self, image: PreparedImage) -> tuple[int, int]:
        """Height and width of an image as the network sees it."""
        height, width = (max(SMALLEST, n) for n in (image.height, image.width))
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple

    def levels(self, images: Sequence[PreparedImage]) -> list[np.ndarray]:
        """The translations of images of one padded size, each [H, W, C] in the values of its own kind."""
        if self.only_bytes and not all(image.has_bytes for image in images):  # each by itself
            return [self.suited(image).levels([image])[0] for image in images]
        padded = self.padded_size(images[0])
        if not self.tiling.fits(padded):
            return [image.sized(self.run_in_tiles(image)) for image in images]
        outputs = self.run([image.pixels for image in images], padded)
        return [image.sized(image.to_levels(output)) for image, output in zip(images, outputs)]

    def suited(self, image: PreparedImage) -> Translator:
        """This model, or for an image of more than 8 bits in the precision mixed the same one in fp32."""
        return self if image.has_bytes or not self.only_bytes else self.with_precision("fp32")

    @torch.inference_mode()
    def run(self, images: Sequence[Tensor], padded: tuple[int, int]) -> list[Tensor]:
        """The network's outputs for images [C, H, W] of one padded size: float32 [C, H, W] in [-1, 1] on the CPU."""
        height, width = padded
        y = self.runner.batch(torch.stack([adapt.pad_reflect(image, height, width) for image in images]))
        scale = y.shape[-2] // height  # 1, or the factor of an enlarging network
        return [out[:, : x.shape[-2] * scale, : x.shape[-1] * scale] for out, x in zip(y.clamp_(-1, 1), images)]

    @torch.inference_mode()
    def run_in_tiles(self, image: PreparedImage, side: int | None = None) -> np.ndarray:
        """One image translated in tiles, with norm statistics of the whole image: levels [H, W, C].

        side: of a tile in pixels; None: see TileSettings."""
        height, width = self.padded_size(image)
        grid = self.tiling.grid(side)
        if isinstance(self.network, Chain):
            return run_chain(self.network, self.runner, self.tiling, image, (height, width), grid, side)
        return run_tiles(self.network, self.runner, self.tiling, image, (height, width), grid, side)

    # ---- how it runs -----------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.runner.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The lower precision that the network computes in; None: float32."""
        return self.runner.dtype

    def to(self, device: str | torch.device) -> Translator:
        """Moves the network to a device ("cpu", "cuda:1", ...) and returns this translator. Raises I2IError if the
        device cannot be used."""
        self.runner.to(device)
        self.saved_network.to(self.device)
        return self

    def half(self) -> Translator:
        """The same model in half precision: bf16 on a CPU, fp16 on a GPU. Its weights are shared."""
        return self.with_precision("bf16" if self.device.type == "cpu" else "fp16")

    def with_precision(self, name: str) -> Translator:
        """The same model in fp32, bf16, fp16 or mixed (see i2i.models.precision). Its weights are shared."""
        other = copy.copy(self)
        other.runner = self.runner.with_dtype(DTYPES[name])
        other.only_bytes = name == MIXED
        return other

    @property
    def precision(self) -> str:
        """fp32, bf16, fp16 or mixed."""
        return MIXED if self.only_bytes else next(name for name, dtype in DTYPES.items() if dtype == self.dtype)

    def compile(self) -> Translator:
        """Compiles the network at its next call (seconds to minutes for each new size) and returns this translator."""
        self.runner.compile()
        return self

    def with_tiling(self, settings: TileSettings) -> Translator:
        """The same model with other tile settings. Its weights are shared. Raises I2IError as the constructor does."""
        other = copy.copy(self)
        other.tiling = self.tiling.with_settings(settings)
        other.tiling.check(self.name)
        return other

    def with_render_factor(self, factor: int) -> Translator:
        """The same model, which makes colors in squares of 16 * `factor` pixels a side; 0: as the model says.

        Raises I2IError if the model does not color images, or the factor is not allowed."""
        if factor:
            raise I2IError(
                f"The model {self.name} does not color images, so it has no render factor.",
                "Leave it out. `i2i train colorize --data FOLDER` trains a model that colors.",
            )
        return self

    def with_choice(self, choice: Choice) -> Translator:
        """The same model with another of its answers: domains, noise, an example or steps. Its weights are shared.

        Raises I2IError if the network does not understand a part of the choice, or does not have what it names."""
        network = self.saved_network
        understood = network.choices if isinstance(network, Choosing) else ()
        for part in choice.given:
            if part not in understood:
                raise I2IError(f"The model {self.name} has no choice of {PARTS[part]}.", who_understands(part))
        other = copy.copy(self)
        other.choice = choice
        if isinstance(network, Choosing):
            device = next(network.parameters()).device
            like = None if choice.like is None else choice.like.to(device)
            with torch.no_grad():  # the example may be encoded here
                answer = network.chosen(dataclasses.replace(choice, like=like)).to(device)
            other.network = eval_mode(answer, bool(self.header.get("train_mode_norm")), self.noisy)
            other.network.requires_grad_(False)
            other.runner = Runner(other.network, self.dtype, self.noisy)
            other.tiling = Tiling(other.network, self.channels_in, self.multiple, self.tiling.settings)
        return other

    @property
    def digest(self) -> str:
        """Digest of the weights and of the header's entries that change the output, in hexadecimal digits.

        It is the same for every choice."""
        return weights_digest(self.saved_network.state_dict(), self.header)
