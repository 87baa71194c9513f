"""Makes the pairs of emoji that `pix2pix_emoji` was trained on: A in flat colors, B rendered, 128 pixels on white.

Microsoft's Fluent Emoji (MIT licence), from three npm packages:

    npm pack @lobehub/fluent-emoji-3d@1.1.0 @iconify-json/fluent-emoji-flat@1.2.6
    npm pack @iconify-json/fluent-emoji-high-contrast@1.2.6
    pip install pillow resvg-py
    python benchmarks/emoji.py . emoji/

With --tones instead: rendered emoji of people, in one folder for each skin tone from yellow to dark. That needs the
first two packages only, and no resvg-py:

    python benchmarks/emoji.py . tones/ --tones

The split of an emoji follows from its name without words that many names share, so that a man and a woman of one
profession are in the same split. Skin tones, activities and flags are left out, and so are emoji that one of the
packages lacks.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

SIDE = 128  # pixels
TONES = {  # codes of skin tones
    "1f3fb": "light",
    "1f3fc": "medium_light",
    "1f3fd": "medium",
    "1f3fe": "medium_dark",
    "1f3ff": "dark",
}
LEFT_OUT = {"Activities", "Flags"}
SHARED = (
    "woman man person women men people girl boy child female male mx mrs santa one two three four five six seven eight "
    "nine ten eleven twelve thirty "
    "oclock "  # codespell:ignore oclock
    "left right up down upper lower with in of the facing face button arrow keycap"
)
WORDS = re.compile(rf"\b({'|'.join(SHARED.split())})\b")


def code_of(text: str) -> str:
    """Code points as in the names of files: in small letters, without the sign that asks for a colored emoji."""
    return "-".join(part for part in text.lower().split("-") if part != "fe0f")


def split_of(name: str) -> str:
    """10 % of the names are test, 6 % val."""
    key = " ".join(WORDS.sub(" ", name.replace("-", " ")).split()) or "same"
    percent = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100
    return "test" if percent < 10 else "val" if percent < 16 else "train"


def package(folder: Path, name: str) -> tarfile.TarFile:
    """The package that `npm pack` left in the folder."""
    return tarfile.open(next(folder.glob(f"{name}-[0-9]*.tgz")))


def table(packed: tarfile.TarFile, name: str) -> dict[str, Any]:
    """A JSON file of a package."""
    opened = packed.extractfile(f"package/{name}.json")
    return json.load(opened) if opened else {}


def flat(icons: dict[str, Any], name: str) -> Image.Image:
    """The drawing in flat colors."""
    import resvg_py

    icon = icons["icons"].get(name) or icons["icons"][icons["aliases"][name]["parent"]]
    width = icon.get("width", icons.get("width", icons.get("height", 32)))
    height = icon.get("height", icons.get("height", 32))
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    svg = f'<svg {spaces} viewBox="0 0 {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
    svg = svg.replace("currentColor", "#000")
    png = resvg_py.svg_to_bytes(svg, width=SIDE, height=SIDE, background="#ffffff", skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGB")


def rendered(data: bytes) -> Image.Image:
    """The rendered drawing, on white."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def read(packed: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a file of a package."""
    opened = packed.extractfile(member)
    return opened.read() if opened else b""


def make_pairs(packages: Path, output: Path) -> Counter[str]:
    """Writes the pairs; how many there are in each split."""
    with package(packages, "iconify-json-fluent-emoji-flat") as packed:
        icons = table(packed, "icons")
        names = {code_of(code): name for code, name in table(packed, "chars").items()}
        group = {name: g for g, every in table(packed, "metadata")["categories"].items() for name in every}
    with package(packages, "iconify-json-fluent-emoji-high-contrast") as packed:
        outlined = {code_of(code) for code in table(packed, "chars")}
    count: Counter[str] = Counter()
    seen: set[str] = set()
    with package(packages, "lobehub-fluent-emoji-3d") as packed:
        for member in sorted((m for m in packed.getmembers() if m.name.endswith(".webp")), key=lambda m: m.name):
            code = code_of(Path(member.name).stem)
            if code in seen or code not in names or code not in outlined or TONES.keys() & set(code.split("-")):
                continue
            seen.add(code)
            if group.get(names[code]) in LEFT_OUT:
                continue
            split = split_of(names[code])
            count[split] += 1
            for side, image in (("A", flat(icons, names[code])), ("B", rendered(read(packed, member)))):
                path = output / split / side / f"{code}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
    return count


def make_tones(packages: Path, output: Path) -> Counter[str]:
    """Writes the emoji that there are in yellow and in all five skin tones; how many there are in each split."""
    with package(packages, "iconify-json-fluent-emoji-flat") as packed:
        names = {code_of(code): name for code, name in table(packed, "chars").items()}
    count: Counter[str] = Counter()
    with package(packages, "lobehub-fluent-emoji-3d") as packed:
        files = {code_of(Path(m.name).stem): m for m in packed.getmembers() if m.name.endswith(".webp")}
        for plain in sorted(files):
            parts = plain.split("-")
            toned = {tone: "-".join([parts[0], code, *parts[1:]]) for code, tone in TONES.items()}
            if plain not in names or not all(code in files for code in toned.values()):
                continue
            split = split_of(names[plain])
            count[split] += 1
            for tone, code in {"yellow": plain, **toned}.items():
                path = output / split / tone / f"{plain}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                rendered(read(packed, files[code])).save(path)
    return count


def main() -> None:
    """Reads the packages, writes the images, and says how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder of the .tgz files")
    parser.add_argument("output", type=Path, help="folder for the images")
    parser.add_argument("--tones", action="store_true", help="make a folder for each skin tone instead of pairs")
    words = parser.parse_args()
    count = (make_tones if words.tones else make_pairs)(words.packages, words.output)
    unit = "emoji in six tones" if words.tones else "pairs"
    print(", ".join(f"{split}: {count[split]} {unit}" for split in ("train", "val", "test")))


if __name__ == "__main__":
    main()
