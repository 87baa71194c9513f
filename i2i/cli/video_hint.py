"""Videos that a folder holds beside images, or instead of them: the command that translates them."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence
from pathlib import Path


def video_hint(words: Sequence[str], inputs: Sequence[str], left_out: Sequence[Path]) -> str:
    """A sentence with a command that works as printed; "" if no video was left out.

    words: the command as it was typed, without the program's name. inputs: those of its words that are inputs.
    left_out: files of the folders among them."""
    from i2i.media import video

    videos = [file for file in left_out if video.is_video(file)]
    patterns = {entry: _patterns(entry, videos) for entry in inputs}
    if not words or not any(patterns.values()):
        return ""
    command = [part for word in words for part in patterns.get(word, [word])]
    return f"Videos of a folder are translated by a pattern: {shlex.join(['i2i', *command])}"


def _patterns(folder: str, videos: Sequence[Path]) -> list[str]:
    """Patterns for the videos below a folder, one for each suffix as it is spelled."""
    deep: dict[str, bool] = {}  # suffix -> whether a video lies in an inner folder
    top = folder.rstrip("/") or "/"
    for file in videos:
        if file.is_relative_to(top) if "://" not in top else str(file).startswith(f"{top}/"):
            inner = str(file)[len(top) + 1 :] if "://" in top else str(file.relative_to(top))
            deep[file.suffix] = deep.get(file.suffix, False) or "/" in inner
    start = "" if top == "." else f"{glob.escape(top)}/".replace("//", "/", 1 if top == "/" else 0)
    return [f"{start}{'**/' if is_deep else ''}*{suffix}" for suffix, is_deep in deep.items()]
