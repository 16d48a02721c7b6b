"""Writes the one table that holds words: rows are appended, and overwritten in place to forget them.

SQLite zeroes what it deletes under `PRAGMA secure_delete`, but not the copies it left behind when it moved
rows between pages, as it does when a row grows or is inserted between others. Rows that are appended in
order and only ever overwritten by something of the same size are never moved
(https://www.sqlite.org/fileformat2.html#b_tree_pages has the pages; the balancing is in btree.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

__all__ = ["blot", "bytes_of", "keep", "replace", "text_of"]


def keep(db: sqlite3.Connection, body: str | bytes) -> int:
    """Append a row; returns its id."""
    # Without RETURNING, which takes half as long again.
    return int(db.execute("INSERT INTO contents (body) VALUES (?)", (body,)).lastrowid or 0)


def bytes_of(text: str) -> bytes:
    """Encode a text for the table; lone surrogates, which providers do send, come back the same."""
    return text.encode("utf-8", "surrogatepass")


def text_of(body: bytes) -> str:
    """Decode a text from the table."""
    return body.decode("utf-8", "surrogatepass")


def blot(db: sqlite3.Connection, ids: Iterable[int | None]) -> None:
    """Overwrite rows with zeros; they are not deleted, as SQLite would then move their neighbours."""
    # A text and a blob of one length take the same room, header included, so the row stays in its place.
    db.executemany(
        "UPDATE contents SET body = zeroblob(length(CAST(body AS BLOB))) WHERE id = ?",
        [(content,) for content in ids if content is not None],
    )


def replace(db: sqlite3.Connection, old: int | None, body: bytes) -> int:
    """Overwrite a row of the same size, else blot it and append another; returns the id of the row used."""
    if old is not None:
        fitting = "UPDATE contents SET body = ? WHERE id = ? AND typeof(body) = 'blob' AND length(body) = ?"
        if db.execute(fitting, (body, old, len(body))).rowcount:
            return old
        blot(db, [old])
    return keep(db, body)
