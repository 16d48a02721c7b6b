"""Creates and changes the SQLite schema by named migrations.

Each migration runs in one transaction together with the record that it ran (sqlite-utils' migrations). A
released migration is never edited: add another, and its name to `opening.MIGRATIONS`. The tables of today's
files are in `second_edition.py`.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

from convmem.stores.sqlite.second_edition import move

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
-- redaction with everything forgotten: a cache that holds another value is stale, or void. rid is the
-- redaction up to which no copy of what was forgotten is left in the write-ahead log.
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    user TEXT UNIQUE,
    session TEXT UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0,
    redaction INTEGER NOT NULL DEFAULT 0,
    rid INTEGER NOT NULL DEFAULT 0,
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

-- Everything that holds words, or was derived from them; other tables name rows of it. A row is only ever
-- appended, and overwritten in place when it is forgotten, so that SQLite never moves it: where rows are
-- moved from page to page, copies stay behind that PRAGMA secure_delete does not reach.
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body ANY NOT NULL
) STRICT;

-- The journal. seq is its order, never the clock. identity binds meaning to position, so that a turn is
-- the same turn whoever sends it again; parent is an identity and not a seq, so that a branch holds
-- together when a turn in its middle is forgotten. payload names the message verbatim, as JSON, less the
-- inline media listed in media as [[path, digest], ...].
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
    payload INTEGER NOT NULL REFERENCES contents (id),
    media TEXT,
    generation INTEGER NOT NULL,
    UNIQUE (session, parent, identity, saying)
) STRICT;
CREATE INDEX turns_by_identity ON turns (identity, session);
CREATE INDEX turns_by_meaning ON turns (meaning, session);
CREATE INDEX turns_by_change ON turns (session, generation);
CREATE INDEX turns_with_media ON turns (session) WHERE media IS NOT NULL;

-- What was forgotten: the place without the words.
CREATE TABLE tombstones (
    session INTEGER NOT NULL REFERENCES sessions (id),
    identity BLOB NOT NULL,
    saying INTEGER NOT NULL DEFAULT 0,
    parent BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (session, parent, identity, saying)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_identity ON tombstones (identity, session);

-- Inline images, audio and files: once per owner, however often they are sent.
CREATE TABLE media (
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    content INTEGER NOT NULL REFERENCES contents (id),
    PRIMARY KEY (owner, digest)
) STRICT, WITHOUT ROWID;

-- Leading system and developer messages: once per owner and distinct text.
CREATE TABLE settings (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    payload INTEGER NOT NULL REFERENCES contents (id),
    UNIQUE (owner, digest)
) STRICT;

-- What recall needs of a turn, derived from it and dropped with it; made empty with the turn. entry names the
-- analyzed text; vector names the embedding as float16, little endian, and only means something together
-- with fingerprint, the embedder's. The indexes find what changed, and what is still to be analyzed or
-- embedded, without a look at the rest.
CREATE TABLE views (
    turn INTEGER PRIMARY KEY REFERENCES turns (seq) ON DELETE CASCADE,
    owner INTEGER NOT NULL REFERENCES owners (id),
    entry INTEGER REFERENCES contents (id),
    fingerprint TEXT,
    vector INTEGER REFERENCES contents (id),
    generation INTEGER NOT NULL
) STRICT;
CREATE INDEX views_by_change ON views (owner, generation);
CREATE INDEX views_to_analyze ON views (turn) WHERE entry IS NULL;
CREATE INDEX views_by_fingerprint ON views (fingerprint, turn);

-- Where the window of a session begins, per host and model, and what stands for the rounds before it.
CREATE TABLE epochs (
    session INTEGER NOT NULL REFERENCES sessions (id),
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    start BLOB NOT NULL,
    summary INTEGER NOT NULL REFERENCES contents (id),
    PRIMARY KEY (session, host, model)
) STRICT, WITHOUT ROWID;

-- Texts that are always in an owner's context.
CREATE TABLE pins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES owners (id),
    text INTEGER NOT NULL REFERENCES contents (id),
    at TEXT NOT NULL
) STRICT;
CREATE INDEX pins_by_owner ON pins (owner);

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


_RECEIPTS = """
-- What a call's receipt says besides its row in calls, without words: account is JSON. at is the time of the
-- call in microseconds since 1970, so that times compare whatever zone the clock had that gave them.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    call TEXT NOT NULL UNIQUE REFERENCES calls (id) ON DELETE CASCADE,
    session INTEGER NOT NULL REFERENCES sessions (id),
    at INTEGER NOT NULL,
    account TEXT NOT NULL
) STRICT;
CREATE INDEX receipts_by_session ON receipts (session, at);

-- The turns a receipt names, in its order: those that its call journaled, and, with JSON in about, those that
-- its request quoted. With a turn its rows go.
CREATE TABLE receipt_turns (
    receipt INTEGER NOT NULL REFERENCES receipts (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    turn INTEGER NOT NULL REFERENCES turns (seq) ON DELETE CASCADE,
    about TEXT,
    PRIMARY KEY (receipt, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_turns_by_turn ON receipt_turns (turn);

-- Context lengths that providers named in an error; nobody's, as they say nothing of a conversation.
CREATE TABLE limits (
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (host, model)
) STRICT, WITHOUT ROWID;
"""


@_migrations()
def m001_journal(db: Database) -> None:
    """Create the journal, with everything that could not be added to it later."""
    for statement in _JOURNAL.split(";\n"):
        db.conn.execute(statement)
    now = datetime.now(UTC).isoformat()
    db.conn.execute("INSERT INTO store VALUES (1, ?, ?)", (secrets.token_bytes(32), now))


@_migrations()
def m002_receipts(db: Database) -> None:
    """Keep receipts and learnt context lengths; what a file of the first edition holds stays as it is."""
    for statement in _RECEIPTS.split(";\n"):
        db.conn.execute(statement)


@_migrations()
def m003_second_edition(db: Database) -> None:
    """Put the owner first everywhere, and make room for what is derived from turns."""
    move(db.conn)


def migrate(connection: sqlite3.Connection, *, stop_before: str | None = None) -> None:
    """Apply the pending migrations, or those before one, inside the transaction that the caller began."""
    from sqlite_utils.db import Database  # noqa: PLC0415 (200 ms that only a due migration pays)

    _migrations.apply(Database(connection), stop_before=stop_before)
