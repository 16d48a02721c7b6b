"""Sentences of English and Chinese text."""

from __future__ import annotations

import re

__all__ = ["sentences"]

# After full-width marks, with closing quotes; after .!? when white space follows; at line ends. A dot in a
# number, a version or an address has no space behind it, so it ends nothing.
_END = re.compile(
    r"(?<=[。！？；])(?![”’」』）])|(?<=[。！？][”’」』）])"
    r"|(?<=[.!?])(?=\s)|(?<=[.!?][\"')])(?=\s)|\n+"
)
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|approx|e\.g|i\.e)|\b[A-Z])\.$")
_MARKS = re.compile(r"^(?:[#>*\-•\s]+|\d+[.)、]\s+)")


def sentences(text: str) -> list[str]:
    """Split a text into sentences, without list marks and headings; code fences are left out."""
    found: list[str] = []
    held = ""
    for piece in _END.split(_without_code(text)):
        said = f"{held} {piece.strip()}".strip() if held else piece.strip()
        held = ""
        if _ABBREVIATION.search(said):
            held = said
            continue
        if said := _MARKS.sub("", said).strip():
            found.append(said)
    if held:
        found.append(held)
    return found


def _without_code(text: str) -> str:
    return re.sub(r"```.*?(?:```|\Z)", "\n", text, flags=re.DOTALL)
