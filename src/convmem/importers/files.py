"""Opening a file and telling by its content who wrote it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from convmem.arguments.checks import checked_file
from convmem.arguments.zone import resolve_zone
from convmem.errors import InputError
from convmem.importers import chatgpt, claude, jsonl, mem0
from convmem.importers.message import Imported, loaded
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["FORMATS", "Format", "is_own_export", "read"]

Format = Literal["auto", "openai", "chatgpt", "claude", "mem0"]
"""Who wrote a file; `auto` finds out."""

FORMATS: tuple[Format, ...] = get_args(Format)

_OWN = {"convmem": "journal"}


def read(path: str | Path, *, tz: str | tzinfo | None = None, format: Format = "auto") -> list[Imported]:  # noqa: A002 (its name in the field)
    """Read the conversations of a file.

    Args:
        path: JSON Lines, a JSON document, or the ZIP archive that ChatGPT or Claude made.
        tz: the zone of times that name none, by its IANA name or as a `tzinfo`; this machine's when left out.
        format: `openai`, `chatgpt`, `claude` or `mem0`; by default told by the content.

    Raises:
        InputError: the file cannot be read, or holds something else; the text says where.
    """
    if format not in FORMATS:
        raise InputError(f"format is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {format!r}")
    file = checked_file("path", path)
    zone = None if tz is None else resolve_zone(tz)
    found: list[Imported] = []
    for text in _texts(file):
        try:
            found += _parsed(text, file.stem, zone, format)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    if not found:
        raise InputError(f"{file} holds no messages")
    return found


def is_own_export(path: str | Path) -> bool:
    """Whether a file is what `Memory.export` gives, which is for `Memory.import_`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with checked_file("path", path).open(encoding="utf-8-sig", errors="replace") as lines:
            first = lines.readline(1_000)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    try:
        value: object = json.loads(first)
    except ValueError:
        return False
    return is_object(value) and _OWN.items() <= value.items()


def _texts(file: Path) -> list[str]:
    """The text of a file, or of the conversations in an archive."""
    try:
        if not zipfile.is_zipfile(file):
            return [file.read_text(encoding="utf-8-sig")]
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if Path(n).match("conversations*.json")]
            if not names:
                raise InputError("the archive holds no conversations.json")
            return [archive.read(name).decode("utf-8-sig") for name in sorted(names)]
    except (OSError, zipfile.BadZipFile, ValueError) as error:  # a path with NUL, bytes that are no UTF-8
        raise InputError(f"{file} cannot be read: {error}") from error


def _parsed(text: str, name: str, tz: tzinfo | None, format: Format) -> list[Imported]:  # noqa: A002
    document = _document(text)
    if document is None and format in {"auto", "openai"}:
        return jsonl.parse(text, session=name, tz=tz)
    kind = _kind(document) if format == "auto" else format
    items = document if document is not None else [None]  # whose reader says what it misses
    if kind == "chatgpt":
        return chatgpt.conversations(items)
    if kind == "claude":
        return claude.conversations(items)
    if kind == "mem0":
        return mem0.memories(items, tz=tz)
    return [
        row
        for i, item in enumerate(items, 1)
        for row in jsonl.rows(item, f"item {i}", session=name, number=i, tz=tz)
    ]


def _document(text: str) -> list[Any] | None:
    """The items of a JSON document; None for JSON Lines."""
    try:
        value = loaded(text)
    except InputError:
        if text.lstrip()[:1] == "[":  # no object, so no line of JSON Lines either
            raise
        return None
    if is_array(value):
        return value
    if not is_object(value):
        return None
    for key in ("results", "memories"):
        if is_array(listed := value.get(key)):
            return listed
    several_lines = "\n" in text.strip()
    return [value] if several_lines or value.keys() & {"mapping", "chat_messages"} else None


def _kind(document: list[Any] | None) -> Format:
    """The format of a document, told by its first item."""
    first: object = document[0] if document else None
    if not is_object(first):
        return "openai"
    if "mapping" in first:
        return "chatgpt"
    if "chat_messages" in first:
        return "claude"
    return "mem0" if "memory" in first and "content" not in first else "openai"
