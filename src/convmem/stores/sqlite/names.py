"""Keeps names of users and sessions: found by keyed digests, kept as words only until they are forgotten.

A name stands in the table `names` alone, whose rows are appended and overwritten in place like those of
`contents` (and apart from them, so that a damaged page of words costs no names). The digest stays when the
name is forgotten, and still finds what the name found.

A session whose name is gone is called by its digest, "forgotten-" and 32 hexadecimal digits, and answers to
that too: what it has forgotten must be found without the name. A user never answers to a digest, because what
an app takes for a user's name says whose memory is read.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from convmem.abilities import OwnerRef
    from convmem.protocols import SessionRef

__all__ = [
    "IS_OWNER",
    "IS_SESSION",
    "SESSION_NAME",
    "USER_NAME",
    "digest_of_name",
    "drop_names",
    "keep_name",
    "owner_values",
    "session_values",
    "teach",
]

_STAND_IN = re.compile("forgotten-([0-9a-f]{32})")
"""What a session is called whose name was forgotten."""
_BYTES = 16
"""Bytes of a name's digest, which is stored: another size would find nothing in files that exist."""

SESSION_NAME = "coalesce((SELECT body FROM names WHERE id = s.name), 'forgotten-' || lower(hex(s.digest)))"
"""The name of a session, `s`, in SQL."""
USER_NAME = (
    "CASE WHEN o.id > 0 THEN"
    " coalesce((SELECT body FROM names WHERE id = o.name), 'forgotten-' || lower(hex(o.digest))) END"
)
"""The name of the user who is an owner, `o`, in SQL; NULL for a session that has none."""

IS_OWNER = "o.digest = name_digest(?, ?)"
"""The SQL condition that finds an owner, `o`; its parameters are made by `owner_values`."""
IS_SESSION = f"{IS_OWNER} AND s.digest = name_digest('session', ?)"
"""The SQL condition that finds a session, `s`, of an owner, `o`; `session_values` makes its parameters."""


def owner_values(owner: OwnerRef) -> tuple[str, str | None]:
    """Return the parameters of `IS_OWNER`."""
    return ("user", owner.user) if owner.user is not None else ("session", owner.session)


def session_values(ref: SessionRef) -> tuple[str, str, str]:
    """Return the parameters of `IS_SESSION`; a session without a user is its own owner."""
    return ("user", ref.user, ref.session) if ref.user is not None else ("session", ref.session, ref.session)


def digest_of_name(key: bytes, kind: str, name: str | None) -> bytes | None:
    """Return the digest of a name, or the one that a session's stand-in spells: 16 bytes.

    The digest is BLAKE2b under the store's key, a MAC like HMAC (RFC 7693) that takes 1 µs where HMAC takes
    5: each read and write of a session begins with it.

    Args:
        key: the store's key.
        kind: `"user"` or `"session"`.
        name: the name; None has no digest, and so finds nothing.
    """
    if name is None:
        return None
    if name.startswith("forgotten-") and kind == "session" and (spelt := _STAND_IN.fullmatch(name)):
        return bytes.fromhex(spelt[1])
    named = f"{kind}\0{name}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, key=key, digest_size=_BYTES).digest()


def teach(db: sqlite3.Connection) -> None:
    """Give a connection to a store the SQL function `name_digest(kind, name)`.

    Raises:
        LookupError: the store has lost its key, so that the file is damaged.
    """
    row: tuple[bytes] | None = db.execute("SELECT key FROM store").fetchone()
    if row is None:
        raise LookupError("its key is gone")
    db.create_function("name_digest", 2, partial(digest_of_name, row[0]), deterministic=True)


def keep_name(db: sqlite3.Connection, kind: str, name: str) -> int | None:
    """Append a name and return its row; the stand-in of a forgotten name is not kept, and has None."""
    if kind == "session" and _STAND_IN.fullmatch(name):
        return None
    return int(db.execute("INSERT INTO names (body) VALUES (?)", (name,)).lastrowid or 0)


def drop_names(db: sqlite3.Connection, owner: int, sessions: Iterable[int], *, owner_too: bool) -> None:
    """Overwrite the names of sessions, and their owner's; their digests stay."""
    gone = [("sessions", session) for session in sessions]
    for table, row in [*gone, ("owners", owner)] if owner_too else gone:
        db.execute(
            "UPDATE names SET body = zeroblob(length(CAST(body AS BLOB)))"
            f" WHERE id = (SELECT name FROM {table} WHERE id = ?)",
            (row,),
        )
        db.execute(f"UPDATE {table} SET name = NULL WHERE id = ?", (row,))
