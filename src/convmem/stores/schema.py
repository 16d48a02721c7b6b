"""The SQLite schema, as named migrations.

Each migration runs in one transaction together with the record that it ran (sqlite-utils' migrations).
A migration that landed is never edited: add another, and its name to `NAMES`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

if TYPE_CHECKING:
    import sqlite3

    from sqlite_utils.db import Database

__all__ = ["migrate"]

_migrations = Migrations("convmem")

_JOURNAL = """
-- One row: the key under which all digests of this store are made.
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB NOT NULL,
    created TEXT NOT NULL
) STRICT;

-- Who owns memory: a user, or a session that has none. generation rises with every write of the owner's,
-- redaction with everything forgotten: a cache that holds another value is stale, or void.
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    user TEXT UNIQUE,
    session TEXT UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0,
    redaction INTEGER NOT NULL DEFAULT 0,
    CHECK ((user IS NULL) <> (session IS NULL))
) STRICT;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    name TEXT NOT NULL,
    created TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, name)
) STRICT;

-- The journal. seq is its order, never the clock. identity binds meaning to position, so that a turn is
-- the same turn whoever sends it again; parent is an identity and not a seq, so that a branch holds
-- together when a turn in its middle is forgotten. payload is the message verbatim, less the inline media
-- listed in media as [[path, digest], ...].
CREATE TABLE turns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id),
    parent BLOB NOT NULL,
    identity BLOB NOT NULL,
    saying INTEGER NOT NULL DEFAULT 0,
    meaning BLOB NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'answered', 'partial', 'failed')),
    at TEXT NOT NULL,
    payload TEXT NOT NULL,
    media TEXT,
    generation INTEGER NOT NULL,
    UNIQUE (session, parent, identity, saying)
) STRICT;
CREATE INDEX turns_by_identity ON turns (identity, session);
CREATE INDEX turns_by_meaning ON turns (meaning, session);
CREATE INDEX turns_by_change ON turns (session, generation);

-- What was forgotten: the place without the words.
CREATE TABLE tombstones (
    session INTEGER NOT NULL REFERENCES sessions (id),
    identity BLOB NOT NULL,
    saying INTEGER NOT NULL DEFAULT 0,
    parent BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (session, identity, saying)
) STRICT, WITHOUT ROWID;

-- Inline images, audio and files: once per owner, however often they are sent.
CREATE TABLE media (
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (owner, digest)
) STRICT, WITHOUT ROWID;

-- Leading system and developer messages: once per owner and distinct text.
CREATE TABLE settings (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    payload TEXT NOT NULL,
    UNIQUE (owner, digest)
) STRICT;

-- What recall needs of a turn, derived from it and dropped with it. entry is the analyzed text; vector is
-- float16, little endian, and only means something together with its fingerprint, the embedder's.
CREATE TABLE views (
    turn INTEGER PRIMARY KEY REFERENCES turns (seq) ON DELETE CASCADE,
    owner INTEGER NOT NULL REFERENCES owners (id),
    entry BLOB,
    fingerprint TEXT,
    vector BLOB,
    generation INTEGER NOT NULL
) STRICT;
CREATE INDEX views_by_change ON views (owner, generation);

-- Where the window of a session begins, per host and model, and what stands for the rounds before it.
CREATE TABLE epochs (
    session INTEGER NOT NULL REFERENCES sessions (id),
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    start BLOB NOT NULL,
    summary TEXT NOT NULL,
    PRIMARY KEY (session, host, model)
) STRICT, WITHOUT ROWID;

-- Texts that are always in an owner's context.
CREATE TABLE pins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES owners (id),
    text TEXT NOT NULL,
    at TEXT NOT NULL,
    UNIQUE (owner, text)
) STRICT;

-- One row per provider call: what it was sent with, what it cost, how it ended.
CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'answered', 'partial', 'failed')),
    model TEXT,
    host TEXT,
    settings INTEGER REFERENCES settings (id),
    end BLOB,
    usage TEXT,
    response_id TEXT,
    error TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_session ON calls (session, at);
CREATE INDEX calls_by_response ON calls (response_id) WHERE response_id IS NOT NULL;
"""


@_migrations()
def m001_journal(db: Database) -> None:
    """Create the journal, with everything that could not be added to it later."""
    for statement in _JOURNAL.split(";\n"):
        db.conn.execute(statement)
    now = datetime.now(UTC).isoformat()
    db.conn.execute("INSERT INTO store VALUES (1, ?, ?)", (secrets.token_bytes(32), now))


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the pending migrations inside the transaction that the caller began."""
    from sqlite_utils.db import Database  # noqa: PLC0415 (200 ms that only a due migration pays)

    _migrations.apply(Database(connection))
