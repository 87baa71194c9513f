"""A hook of mkdocs: the site's first page and two others are the files at the top of the repository.

Their links lead into docs/, as GitHub needs them; here they lose that folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages."""
    for name, source in PAGES.items():
        files.append(File.generated(config, name, content=linked((ROOT / source).read_text(encoding="utf-8"))))
    return files


def linked(text: str) -> str:
    """The text with links as they are inside docs/."""
    for name, source in PAGES.items():
        text = text.replace(f"]({source}", f"]({name}")
    return re.sub(r"\]\(docs/", "](", text)
