"""The arguments and options of `i2i evaluate`, each declared once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

HELP = """Score a model beside trivial guesses: the mean training image, and the input itself.

Images with a true answer: L1 (values in [-1, 1]), PSNR, SSIM, MS-SSIM, LPIPS, DISTS. All outputs as a set, beside
real images: FD (the Frechet distance; FID on the Inception network), KID, MIND, precision, recall, density,
coverage. The column "real images" is the floor: real training images beside real test images. A useful model beats
both guesses. Images without pairs have no truth to score each image by; then sets are compared.

Of a model from noise, generated images are compared with real ones, with the Inception score and the share of images
that have the class that was asked for.

\b
Examples:
  i2i evaluate --model runs/mine
  i2i evaluate --model pix2pix_sat2map --data maps --split val --limit 100
  i2i evaluate --model runs/mine --save runs/mine/test
  i2i evaluate --model runs/mine inputs/ true-outputs/
  i2i evaluate --model runs/mine --metrics lpips,kid,fid --features inception
  i2i evaluate --model biggan_digits --data digits/ --samples 500
  i2i evaluate --model runs/night --direction BtoA --limit 50
  i2i evaluate --model runs/night --reveal runs/night --limit 16
"""

Model = Annotated[
    str, Option("--model", "-m", help="Model file, run folder, or a name of `i2i models`.", show_default=False)
]
Folders = Annotated[
    list[str] | None,
    Argument(
        help="Pairs: one folder, two folders, or the name of a data set. [default: the model's training data]",
        metavar="DATA",
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    Option("--data", help="The same as DATA: --data A B.", metavar="DIR|NAME", show_default=False),
]
Direction = Annotated[
    str, Option(help="AtoB, or BtoA: the way back of a model that contains both directions (CycleGAN).")
]
Limit = Annotated[
    int | None,
    Option(
        help="Evaluate only the first N images. [default: all; with --reveal 32 images]",
        metavar="N",
        min=1,
        show_default=False,
    ),
]
Save = Annotated[Path | None, Option(help="Save every translation as PNG into this folder.", metavar="DIR")]
Reveal = Annotated[
    Path | None,
    Option(
        help="For models with a way back (CycleGAN): look for hidden content, and write reveal.png into this folder.",
        metavar="DIR",
    ),
]
Metrics = Annotated[
    str | None,
    Option(
        help="Metrics, with commas: l1, psnr, ssim, ms_ssim, lpips, dists, fd, fid, kid, mind, precision, recall, "
        "density, coverage, prdc, is, labels, diversity. [default: all that fit and need no download]",
        metavar="NAMES",
        show_default=False,
    ),
]
Features = Annotated[
    str,
    Option(
        help="Network by which sets of images are compared: effnet, alex, inception, vgg, torchvision:NAME, "
        "timm:NAME, or a file of weights.",
        metavar="NETWORK",
    ),
]
Samples = Annotated[
    int | None,
    Option(
        help="Of a model from noise: number of images to make and score. [default: as many as there are real images, "
        "at most 2,000]",
        metavar="N",
        min=2,
    ),
]
Size = Annotated[int | None, Option(help="Side in pixels to score at. [default: the model's]", metavar="PIXELS", min=8)]
To = Annotated[
    str | None,
    Option(help="Domain or attributes that a model with many translates into. [default: the first]", metavar="NAMES"),
]
Seed = Annotated[
    int, Option(help="Seed of intervals, of random subsets, and of the first image from noise.", metavar="N", min=0)
]
