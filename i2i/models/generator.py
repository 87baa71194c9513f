"""A saved model that makes images from noise: what `i2i.load_generator` returns.

The image of a seed depends only on the model, the seed, the label and the truncation. Each seed always runs in the same
row of a batch of fixed size, so its image is bit-identical whatever else is generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2i import nets
from i2i.core import fast_conv
from i2i.core.device import device_of
from i2i.core.errors import I2IError, nearest
from i2i.core.progress import Progress
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.header import check_header
from i2i.models.load import ModelFile, find, import_method
from i2i.models.runner import require_numbers
from i2i.models.use import use_command
from i2i.nets.latent import Latent

MAX_LISTED = 60  # labels that an error message lists
STANDING_BATCH = 64  # images in a pass that measures batch-norm statistics


def load_generator(
    model: str | Path | ModelFile, device: str | torch.device = "auto", method: str | Path | None = None
) -> LoadedGenerator:
    """The generator of a saved model that makes images from noise.

    model: a .safetensors file, the folder of a finished run, or hf:USER/NAME[@REVISION]. device: auto, cpu, cuda,
    cuda:1 or mps. method: the method file that defines the model's network, if that is a file of your own. **Its code
    is run.** Raises I2IError if the model is missing, damaged, or translates images instead."""
    source = find(model)
    if method is not None:
        import_method(method, source.path)
    if content.kind_of(source.path) != content.SAFETENSORS:
        raise I2IError(
            f"{source.path} is not a model that makes images from noise.", "Give a .safetensors file or a run's folder."
        )
    header = model_file.read_header(source.path)
    if header.get("kind") != "generate" or "latent" not in header:
        command = use_command(source.path, False, model_file.method_file(source.path, header))
        raise I2IError(
            f"{source.path} translates images; it does not make images from noise.",
            f"Translate an image with it: {command}",
        )
    name = header.get("generator", "G")
    if name in header["networks"] and not nets.has_argument(header["networks"][name]["type"], "z"):
        raise I2IError(f"The network {name} of {source.path} makes no images from noise.", "Give a model that does.")
    network = model_file.load(source.path, [name]).networks[name]
    return LoadedGenerator(network.to(device_of(device)), header, source.name)


class LoadedGenerator:
    """A generator G(z) or G(z, c), and what its model's header says about it.

        generator = i2i.load_generator("runs/dcgan-faces")
        for image in generator.images(range(16)):
            ...  # float32 [C, H, W] in [-1, 1]

    network: maps noise [B, width], and classes int64 [B] if it has any, to images [B, C, H, W] in [-1, 1]. It is used
    as it is, not copied: it is put into eval mode and its parameters stop requiring gradients.
    header: `latent`, a list of [kind, width] (see i2i.nets.latent.Latent), and where they apply `class_names`, `size`
    or `sizes`, and `standing` (passes that measure batch-norm statistics for a truncation).
    name: shown in messages.
    """

    def __init__(self, network: nn.Module, header: Mapping[str, Any], name: str = "model") -> None:
        check_header(name, header)
        self.network = network.eval().requires_grad_(False)
        self.header, self.name = dict(header), name
        self.latent = Latent(tuple((str(kind), int(width)) for kind, width in header["latent"]))
        self.conditional = bool(header.get("class_names"))
        self.labels: list[str] = list(header.get("class_names") or [f"code {k}" for k in range(self.latent.codes)])
        trained_sizes = getattr(network, "sizes", None)  # of a growing generator: the sizes that training has reached
        self.sizes: list[int] = [int(s) for s in header.get("sizes") or trained_sizes or [header.get("size", 64)]]
        self._check_fit()
        self.device = next(network.parameters()).device
        if self.device.type == "cpu":
            fast_conv.speed_up(network)
        self._statistics_for = 0.0  # the truncation for which batch norm has its statistics
        self._stored = {k: v.clone() for k, v in network.state_dict().items()} if header.get("standing") else {}

    def _check_fit(self) -> None:
        """Raises I2IError if the header's noise, classes or sizes are not those of the network."""
        arguments: dict[str, Any] = getattr(self.network, "arguments", {})
        is_ours = type(self.network).__module__.startswith("i2i.")
        facts = [("numbers in the noise", self.latent.width, arguments.get("z"))]
        if self.conditional and arguments.get("classes") != 0:  # with 0 classes it takes them, and does not use them
            facts.append(("classes", len(self.labels), arguments.get("classes", 0)))
        elif not self.conditional and arguments.get("classes"):
            facts.append(("classes", 0, arguments["classes"]))
        for what, stated, built in facts:
            if is_ours and built is not None and stated != built:
                raise I2IError(
                    f"The header of {self.name} is damaged: it tells of {stated} {what}, the network of {built}.",
                    "Copy or download the file again.",
                )
        own = getattr(self.network, "sizes", None)
        if is_ours and len(self.sizes) > 1 and (own is None or not set(self.sizes) <= set(own)):
            raise I2IError(f"The header of {self.name} is damaged: its network cannot make images of {self.sizes}.")

    @property
    def batch_size(self) -> int:
        """Images in one pass of the network. It is fixed: a varying one would change the last bits of the images."""
        return 16 if max(self.sizes) <= 128 else 4

    # ---- images ----------------------------------------------------------------------------------------------------

    def images(
        self,
        seeds: Sequence[int],
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """The image of each seed, one after the other: float32 [C, H, W] in [-1, 1] on the CPU.

        label: number of a class or a code; None: classes follow the seed (seed 0 has class 0, ...), codes are random.
        truncation: largest |z|, such as 0.5 or 1; lower values give less varied images; 0: no limit.
        size: pixels; None: the full size. Growing models can also make their smaller sizes.
        progress: called as progress(images so far, images in all). Raises I2IError as `check` does."""
        self.check(truncation, size)
        self._set_statistics(truncation)
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if label is None or self.conditional else torch.full_like(ids, label)
        z = self.latent.draw(ids, truncation=truncation, code=code)
        yield from self.run(z, self.classes(ids, label), [s % self.batch_size for s in seeds], size, progress)

    pictures = images  # the name until version 0.1

    def walk(
        self,
        seeds: Sequence[int],
        frames: int,
        label: int | None = None,
        truncation: float = 0.0,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """`frames` images of a round trip through the noise of `seeds`, on great circles in its normal parts.

        label: None: the class of the first seed. The rest, and the errors: see `images`."""
        self.check(truncation, size)
        self._set_statistics(truncation)

        # The noise of each frame lies between that of two neighboring seeds.
        ids = torch.tensor(list(seeds), dtype=torch.int64)
        code = None if self.conditional or not self.latent.codes else torch.full_like(ids, label or 0)
        ends = self.latent.draw(ids, truncation=truncation, code=code)
        steps = []
        for frame in range(frames):
            position = frame * len(seeds) / frames
            k = int(position)
            steps.append(self.latent.between(ends[k : k + 1], ends[(k + 1) % len(seeds)][None], position - k))

        # All frames have one class.
        first = ids[:1] if label is not None else ids[:1] % max(1, len(self.labels))
        c = self.classes(first, label)
        c = None if c is None else c.expand(frames).clone()
        yield from self.run(torch.cat(steps), c, [i % self.batch_size for i in range(frames)], size, progress)

    @torch.inference_mode()
    def run(
        self,
        z: Tensor,
        c: Tensor | None,
        rows: Sequence[int],
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """The images of noise z [N, width] and classes c int64 [N], each computed in its row of a batch.

        rows: for each image, a row from 0 to `batch_size` - 1."""
        start = 0
        while start < len(z):
            # A pass takes the images that follow, as long as their rows rise; its other rows stay zero.
            end = start + 1
            while end < len(z) and rows[end] > rows[end - 1]:
                end += 1
            index = torch.tensor(rows[start:end])
            inputs = [z.new_zeros(self.batch_size, z.shape[1]).index_copy(0, index, z[start:end]).to(self.device)]
            if c is not None:
                inputs.append(c.new_zeros(self.batch_size).index_copy(0, index, c[start:end]).to(self.device))
            images = self.network(*inputs, **({} if size in (None, self.sizes[-1]) else {"size": size}))
            yield from require_numbers(images.float().cpu()[index])
            if progress:
                progress(end, len(z))
            start = end

    # ---- labels and limits -----------------------------------------------------------------------------------------

    def label(self, text: str | int) -> int:
        """The number of a label, given by its name or by its number.

        A name goes first: where the labels are called 7, 8 and 9, "8" is number 1 and "0" is number 0. Raises I2IError
        with the labels that there are."""
        if not self.labels:
            raise I2IError(f"{self.name} has no labels.", "Leave out --label.")
        name = str(text).strip()
        if name in self.labels:
            return self.labels.index(name)
        if name.isdecimal() and int(name) < len(self.labels):
            return int(name)
        listed = ", ".join(f"{i} ({n})" if n != str(i) else n for i, n in enumerate(self.labels[:MAX_LISTED]))
        more = f" and {len(self.labels) - MAX_LISTED} more" if len(self.labels) > MAX_LISTED else ""
        close = nearest(name, self.labels)
        hint = f"{close} " if close.startswith("Did you mean") else ""
        raise I2IError(f"{self.name} has no label {name!r}.", f"{hint}It has: {listed}{more}.")

    def classes(self, ids: Tensor, label: int | None) -> Tensor | None:
        """The class of each seed, int64 [B]; None if the network takes none."""
        if not self.conditional:
            return None
        return ids % len(self.labels) if label is None else torch.full_like(ids, label)

    def check(self, truncation: float = 0.0, size: int | None = None) -> None:
        """Raises I2IError for a truncation or a size that this model cannot use."""
        if not 0 <= truncation < math.inf:
            raise I2IError(f"truncation is {truncation:g}.", "Give a number such as 0.5 or 1, or 0 for no limit.")
        if truncation and not any(kind == "normal" for kind, _ in self.latent.parts):
            raise I2IError(
                f"{self.name} has no normally distributed noise, so it cannot be truncated.", "Leave out --truncation."
            )
        if size is not None and size not in self.sizes:
            raise I2IError(
                f"{self.name} cannot make images of {size} pixels.", f"It makes {', '.join(map(str, self.sizes))}."
            )

    # ---- batch norm ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _set_statistics(self, truncation: float) -> None:
        """Measures the means and variances of batch norm for a truncation, if the header asks for it.

        These are the standing statistics of Brock et al. 2018 (arXiv:1809.11096, section 4): averages over some passes
        of fresh noise. Without truncation the stored ones are used."""
        passes = int(self.header.get("standing") or 0)
        if not passes or truncation == self._statistics_for:
            return
        self._statistics_for = truncation
        if not truncation:
            self.network.load_state_dict(self._stored)
            return

        # Reset the norms and let them average over all passes.
        norms = [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [m.momentum for m in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
            norm.train()
        for k in range(passes):
            ids = torch.arange(STANDING_BATCH * k, STANDING_BATCH * (k + 1))
            c = self.classes(ids, None)
            z = self.latent.draw(ids, salt="standing", truncation=truncation).to(self.device)
            self.network(z, *(() if c is None else (c.to(self.device),)))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
