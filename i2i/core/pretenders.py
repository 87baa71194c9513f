"""Files that stand for others: pointers of Git LFS, and the pages that servers send in place of a file."""

from __future__ import annotations

HEAD = 512  # bytes that are enough to know them
POINTERS = (b"version https://git-lfs", b"version https://hawser", b"version http://git-media")
ARCHIVES = {
    b"PK\3\4": "ZIP",
    b"PK\5\6": "ZIP",
    b"\x1f\x8b": "GZIP",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"BZh": "BZIP2",
    b"\xfd7zXZ": "XZ",
}
PAGES = (b"<!doctype html", b"<html", b"<head")


def _article(thing: str) -> str:
    return "an" if thing[0] in "aeiou" else "a"


def unmask(head: bytes, thing: str, is_markup: bool = False) -> tuple[str, str] | None:
    """What a file is that is no `thing` (such as "image"), and what helps, by its first bytes; None for any other file.

    Git leaves a small text file instead of a large one without Git LFS. is_markup: XML counts as a page, too."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(POINTERS):
        return (
            f"is a Git LFS pointer, a small text file that stands for the {thing}.",
            f"Fetch the {thing} itself with `git lfs pull` in its repository, or download it from the repository's "
            "page.",
        )
    pages = (*PAGES, b"<!doctype", b"<?xml", b"<error") if is_markup else PAGES
    if text.startswith(pages) or (text[:1] == b"<" and b"<html" in text):
        return (
            f"is a web page (HTML), not {_article(thing)} {thing}; a server sent it instead of the file.",
            "Download the file again, and use the link to the file itself.",
        )
    if thing != "model":  # those of PyTorch are ZIP files
        name = next((name for start, name in ARCHIVES.items() if head.startswith(start)), "")
        if name or head[257:262] == b"ustar":
            return (
                f"is an archive ({name or 'TAR'}), not {_article(thing)} {thing}.",
                "Unpack it first, and give the folder.",
            )
        if head.startswith(b"%PDF"):
            return f"is a PDF file, not {_article(thing)} {thing}.", "Save its pages as images first."
    return None
