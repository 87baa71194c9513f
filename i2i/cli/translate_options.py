"""The arguments and options of `i2i translate`, each declared once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from i2i.cli.panels import ADVANCED
from i2i.core.device import DEVICE_NAMES

ANSWERS = "Models with several answers"  # the heading of their options

HELP = """Translate one image, many images, or whole archives with their folder tree.

Outputs keep the size and format of their inputs, their color profile, and their metadata (EXIF, XMP, IPTC, texts,
GeoTIFF tags) where the format holds it; a note says what it does not hold. An output that exists is replaced only with
--overwrite. An image that fails never stops the others: it is listed at the end, and the exit code is 3 (1 if it is the
only image).

\b
Examples:
  i2i translate photo.jpg --model cyclegan_horse2zebra
  i2i translate holiday/ -o out/ --model runs/mine
  i2i translate 'archive/**/*.png' -o out/ --model runs/mine --resume
  i2i translate video.mp4 -o out.mp4 --model runs/mine
  i2i translate s3://bucket/in/ -o s3://bucket/out/ --model runs/mine
  i2i translate scan_8k.tif -o out.tif --model runs/mine --tile 512
  i2i translate - --model runs/mine < photo.jpg > out.jpg
  i2i translate drawings/ -o out/ --model runs/mine --no-domain-check
"""

# ---- what is translated, and where it goes -------------------------------------------------------------------------

Model = Annotated[
    str, Option("--model", "-m", help="Model file, run folder, or a name of `i2i models`.", show_default=False)
]
Inputs = Annotated[
    list[str] | None,
    Argument(
        help="Images, videos, folders, or patterns such as 'archive/**/*.png'. "
        "Give - for one image from standard input to standard output.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    Option(
        "--output", "-o", help="Output folder, or a file for one image. [default: photo.MODEL.jpg beside photo.jpg]"
    ),
]
Listed = Annotated[
    Path | None, Option("--list", help="File with one image name per line; - reads standard input.", metavar="FILE")
]
Null = Annotated[
    bool,
    Option(
        "-0",
        "--null",
        help="Entries of --list are separated by NUL bytes (find -print0).",
        rich_help_panel=ADVANCED,
    ),
]

# ---- how outputs are written ---------------------------------------------------------------------------------------

Format = Annotated[
    str | None,
    Option(help="Output format: jpg, png, webp, tif, bmp, gif or avif. [default: same as each input]"),
]
Size = Annotated[
    str | None,
    Option(
        help="Output size in pixels: N for the shorter side, or WIDTHxHEIGHT. [default: same as each input, times the "
        "scale of a model that enlarges]",
        metavar="N|WxH",
    ),
]
Quality = Annotated[
    int | None,
    Option(help="Quality of JPEG, WebP and AVIF outputs, 1 to 100. [default: 95; AVIF: 90]", metavar="Q"),
]
Subsampling = Annotated[
    str,
    Option(
        help="Chroma subsampling of JPEG outputs: 4:4:4, 4:2:2 or 4:2:0.",
        rich_help_panel=ADVANCED,
    ),
]
Alpha = Annotated[
    str,
    Option(
        help="Transparency: keep it, drop it, or translate it too, as a gray image. "
        "In all three the colors are laid on white before they are translated."
    ),
]
Profile = Annotated[str, Option(help="Color profile of outputs: keep that of the input, or srgb to convert into sRGB.")]
Metadata = Annotated[
    str,
    Option(
        help="EXIF, XMP, IPTC, texts, comments and GeoTIFF tags: keep what the output format holds, or strip all. "
        "Resolution and color profile are always kept."
    ),
]
MaxPixels = Annotated[
    int | None,
    Option(help="Refuse images with more than N pixels. [default: 100 million]", metavar="N", min=1),
]

# ---- which images are translated, and by whom ----------------------------------------------------------------------

Overwrite = Annotated[bool, Option("--overwrite", help="Replace outputs that exist.")]
SkipExisting = Annotated[
    bool, Option("--skip-existing", help="Leave outputs that exist as they are, without an error or a note.")
]
Resume = Annotated[
    bool,
    Option("--resume", help="Continue a run: skip outputs that the folder's record lists as done and that are intact."),
]
DryRun = Annotated[bool, Option("--dry-run", help="Print what would be translated, and stop.")]
Watch = Annotated[
    bool, Option("--watch", help="Translate the images of a folder, then wait for new ones until Ctrl-C.")
]
Settle = Annotated[
    float,
    Option(
        help="With --watch: seconds that a file must be unchanged before it is translated.",
        min=0,
        rich_help_panel=ADVANCED,
    ),
]
Shard = Annotated[
    str | None,
    Option(help="Translate only part I of N, chosen by a hash of each name (for job arrays).", metavar="I/N"),
]
Processes = Annotated[int, Option(help="Number of processes on this machine that share the work.", min=1)]
Ray = Annotated[
    str | None,
    Option(help="Ray cluster that does the work: auto, local, HOST:PORT or ray://HOST:PORT.", metavar="ADDRESS"),
]

# ---- how the network runs ------------------------------------------------------------------------------------------

Batch = Annotated[
    int, Option(help="Most images in one pass of the network; 0 is automatic: 1 on a CPU, 32 on a GPU.", min=0)
]
Tile = Annotated[
    int | None,
    Option(
        help="Cut images into tiles of N pixels a side; 0: never. [default: only if the memory is too small]",
        metavar="N",
    ),
]
Overlap = Annotated[
    int | None,
    Option(
        help="Pixels around each tile that neighboring tiles share. [default: receptive field]",
        metavar="N",
        rich_help_panel=ADVANCED,
    ),
]
Memory = Annotated[
    float | None,
    Option(
        help="GiB that one pass of the network may use. [default: half of what is free; on a CPU at most 2]",
        metavar="GIB",
        rich_help_panel=ADVANCED,
    ),
]
Exact = Annotated[
    bool,
    Option(
        "--exact",
        help="With tiles: compute the norm statistics of the whole image exactly, even if that takes many passes.",
        rich_help_panel=ADVANCED,
    ),
]
RenderFactor = Annotated[
    int,
    Option(
        help="Models that color: make the colors in squares of 16 x N pixels. More: finer colors; fewer: "
        "stronger ones. 0: as the model was trained.",
        metavar="N",
        min=0,
        max=256,
    ),
]
Compile = Annotated[
    bool,
    Option("--compile", help="Compile the network first. Takes up to minutes; faster from about 100 images on."),
]
Device = Annotated[str, Option(help=f"Device to run on: {DEVICE_NAMES}.")]
Precision = Annotated[
    str,
    Option(
        help="Number format of the network: fp32; bf16 (up to 3 times as fast on a CPU with AMX or AVX512_BF16); mixed "
        "(on a CPU: bf16 for images of 8 bits, fp32 for others); fp16 (GPU only); auto (mixed on such a CPU for models "
        "that are known to keep 99.9 % of the values within one of 255 levels, else fp32)."
    ),
]
Direction = Annotated[str, Option(help="AtoB, or BtoA for models that contain both directions (CycleGAN).")]
Statistics = Annotated[
    str,
    Option(
        help="Batch norm uses the statistics of each image (image) or of the training (stored); auto: as trained.",
        rich_help_panel=ADVANCED,
    ),
]
DomainCheck = Annotated[
    bool,
    Option(
        "--domain-check/--no-domain-check",
        help="Look at 8 of the images, and say if they are unlike those that the model was trained on.",
        rich_help_panel=ADVANCED,
    ),
]
To = Annotated[
    str | None,
    Option(
        help="Domain or attributes to translate into, such as Blond_Hair,Young; all: every one, and a sheet of them. "
        "For models of many domains.",
        metavar="NAMES",
        rich_help_panel=ANSWERS,
    ),
]
Answers = Annotated[
    int,
    Option(
        "--answers",
        "-n",
        help="Answers for each image, called NAME_1 to NAME_N. For models with noise.",
        min=1,
        metavar="N",
        rich_help_panel=ANSWERS,
    ),
]
Seed = Annotated[
    int, Option(help="Seed of the noise; the same seed gives the same answers.", min=0, rich_help_panel=ANSWERS)
]
Like = Annotated[
    Path | None,
    Option(help="Example image whose style the answer takes.", metavar="FILE", rich_help_panel=ANSWERS),
]
Steps = Annotated[
    int | None,
    Option(
        help="Steps of the sampler: more take longer. [default: the model's own number]",
        min=1,
        metavar="K",
        rich_help_panel=ANSWERS,
    ),
]
Method = Annotated[
    Path | None,
    Option(
        help="Your own method file, if the model was trained with one. Its code is run.",
        metavar="FILE",
        rich_help_panel=ADVANCED,
    ),
]

# ---- what is printed -----------------------------------------------------------------------------------------------

AsJson = Annotated[bool, Option("--json", help="Print one JSON object per image, and one with the totals.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Print errors only.")]
