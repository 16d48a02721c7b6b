"""The second edition of the schema, and the migration of a file of the first edition to it.

Every table begins with the owner. Each row names its owner, every key and every index begins with that
column, and a row that names another names its owner too: `FOREIGN KEY (owner, session) REFERENCES sessions
(owner, id)`. So no row can name another owner's, one owner's rows stand together in every index, and the same
tables can be distributed by owner over several servers. Integer primary keys (`seq`, `id`) are addresses in
this one file; where the tables are distributed, the key is the pair `(owner, seq)`, which is unique here too.

- An owner is a user (a positive id) or a session without a user (a negative id). A session without a user is
  looked for among all such owners, by the indexes `…_of_nobody`, which hold no row of a user.
- Tables without an owner are `store` (the key), `limits` and `sums` (which say nothing of anybody),
  `embedders`, `contents` and `names`. A content is part of the row that names it, and stands apart only
  because SQLite moves rows about; a store on a server keeps it in the row.
- `views_to_analyze` is the list of turns to analyze for all owners, in the order of the journal.
- Users and sessions are found by digests of their names (`names.py`).
- Vectors stand side by side, one per turn and embedder. `embedders.upto` says up to which turn an embedder
  has embedded all there are, so that looking for others costs nothing.
- What is derived from a turn goes with it: views, vectors, facts and lines of receipts by foreign keys, whole
  receipts, summaries (`nodes`) and the contents of all by `forget.py`.
- `tombstones` are found by their owner, by place (`identity`) or, for those made by this edition, by words
  (`meaning`), whatever session the words come back in.
- Nothing writes `nodes`, `node_turns`, `facts` and `sessions.title` yet: they have room for summaries with
  the turns they cover, for facts and for titles. Forgetting and repair treat them as if they were written.

The first edition becomes the second within one transaction in WAL mode, which writes to the log beside the
file alone until it is committed. `contents`, nine tenths of a file, stays where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.stores.sqlite.names import keep_name, teach

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

__all__ = ["move"]

_SCHEMA = """
-- The names of owners and sessions. A row is only ever appended, and overwritten in place when it is
-- forgotten, as in contents; its digest stays with what it named.
CREATE TABLE names (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body ANY NOT NULL
) STRICT;

-- Who owns memory: a user (id > 0), or a session that has none (id < 0). name is NULL once it is forgotten.
-- generation rises with every write of the owner's, redaction with everything forgotten: a cache that holds
-- another value is stale, or void. rid is the redaction up to which no copy of what was forgotten is left in
-- the write-ahead log.
CREATE TABLE owners (
    id INTEGER PRIMARY KEY CHECK (id <> 0),
    digest BLOB NOT NULL UNIQUE,
    name INTEGER REFERENCES names (id),
    generation INTEGER NOT NULL DEFAULT 0,
    redaction INTEGER NOT NULL DEFAULT 0,
    rid INTEGER NOT NULL DEFAULT 0
) STRICT;

-- created is when its first words were said, used when something was last written to it. title is a text
-- that is shown for it, and goes with the first turn that is forgotten; nothing writes it yet.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    name INTEGER REFERENCES names (id),
    title INTEGER REFERENCES contents (id),
    created TEXT NOT NULL,
    used TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    UNIQUE (owner, digest),
    UNIQUE (owner, id)
) STRICT;

-- The journal. seq is its order, never the clock. identity binds meaning to position, so that a turn is
-- the same turn whoever sends it again; parent is an identity and not a seq, so that a branch holds
-- together when a turn in its middle is forgotten. payload names the message verbatim, as JSON, less the
-- inline media listed in media as [[path, digest], ...]. identity stands second in the key, because turns are
-- looked up by it in all of an owner's sessions.
CREATE TABLE turns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    session INTEGER NOT NULL,
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
    UNIQUE (owner, identity, session, parent, saying),
    UNIQUE (owner, seq),
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id)
) STRICT;
CREATE INDEX turns_by_meaning ON turns (owner, meaning, session) WHERE owner > 0;
CREATE INDEX turns_by_change ON turns (owner, session, generation);
CREATE INDEX turns_with_media ON turns (owner) WHERE media IS NOT NULL;
CREATE INDEX turns_of_nobody ON turns (identity, session) WHERE owner < 0;
CREATE INDEX turns_of_nobody_by_meaning ON turns (meaning, session) WHERE owner < 0;

-- What was forgotten: the place without the words. meaning is the digest of the words; NULL where only the
-- place is known, as of what the first edition forgot.
CREATE TABLE tombstones (
    owner INTEGER NOT NULL,
    session INTEGER NOT NULL,
    parent BLOB NOT NULL,
    identity BLOB NOT NULL,
    saying INTEGER NOT NULL DEFAULT 0,
    meaning BLOB,
    generation INTEGER NOT NULL,
    PRIMARY KEY (owner, identity, session, parent, saying),
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_change ON tombstones (owner, session, generation);
CREATE INDEX tombstones_by_meaning ON tombstones (owner, meaning) WHERE meaning IS NOT NULL;
CREATE INDEX tombstones_of_nobody ON tombstones (identity, session) WHERE owner < 0;

-- Inline images, audio and files: once per owner, however often they are sent. size is in bytes.
CREATE TABLE media (
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    content INTEGER NOT NULL REFERENCES contents (id),
    size INTEGER NOT NULL,
    PRIMARY KEY (owner, digest)
) STRICT, WITHOUT ROWID;

-- Leading system and developer messages: once per owner and distinct text.
CREATE TABLE settings (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    digest BLOB NOT NULL,
    payload INTEGER NOT NULL REFERENCES contents (id),
    UNIQUE (owner, digest),
    UNIQUE (owner, id)
) STRICT;

-- What recall needs of a turn; made empty with the turn. entry names the analyzed text; generation is the
-- owner's when the entry or a vector of the turn was last put. The indexes find what changed, and what is
-- still to be analyzed, without a look at the rest.
CREATE TABLE views (
    turn INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    entry INTEGER REFERENCES contents (id),
    generation INTEGER NOT NULL,
    FOREIGN KEY (owner, turn) REFERENCES turns (owner, seq) ON DELETE CASCADE
) STRICT;
CREATE INDEX views_by_change ON views (owner, generation);
CREATE INDEX views_to_analyze ON views (turn) WHERE entry IS NULL;

-- The embedders whose vectors are kept. Of the turns up to upto each that is there has a vector.
CREATE TABLE embedders (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    upto INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Embeddings, as float16, little endian.
CREATE TABLE vectors (
    owner INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    embedder INTEGER NOT NULL REFERENCES embedders (id),
    vector INTEGER NOT NULL REFERENCES contents (id),
    PRIMARY KEY (owner, turn, embedder),
    FOREIGN KEY (owner, turn) REFERENCES turns (owner, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Where the window of a session begins, per host and model, and what stands for the rounds before it.
CREATE TABLE epochs (
    owner INTEGER NOT NULL,
    session INTEGER NOT NULL,
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    start BLOB NOT NULL,
    summary INTEGER NOT NULL REFERENCES contents (id),
    PRIMARY KEY (owner, session, host, model),
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id)
) STRICT, WITHOUT ROWID;

-- Summaries with the turns they cover, so that one goes with the first of them that is forgotten. level is 0
-- for a summary of turns and n for one of summaries of level n - 1; node_turns names the turns of both.
-- made_by is the fingerprint of what made it, redaction the owner's when its turns were read. Nothing writes
-- them yet.
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    session INTEGER NOT NULL,
    level INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    redaction INTEGER NOT NULL,
    text INTEGER NOT NULL REFERENCES contents (id),
    made_by TEXT NOT NULL,
    UNIQUE (owner, id),
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id)
) STRICT;
CREATE INDEX nodes_by_session ON nodes (owner, session, level, first_seq);
CREATE TABLE node_turns (
    owner INTEGER NOT NULL,
    node INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (owner, node, turn),
    FOREIGN KEY (owner, node) REFERENCES nodes (owner, id) ON DELETE CASCADE,
    FOREIGN KEY (owner, turn) REFERENCES turns (owner, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX node_turns_by_turn ON node_turns (owner, turn);

-- What an owner said of themselves: the value of a slot ("home"), while it held (from and to, as times or
-- days in ISO 8601, NULL where open), and the characters of the turn that say so. Nothing writes them yet.
CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,
    slot TEXT NOT NULL,
    value INTEGER NOT NULL REFERENCES contents (id),
    valid_from TEXT,
    valid_to TEXT,
    turn INTEGER NOT NULL,
    span_start INTEGER NOT NULL,
    span_end INTEGER NOT NULL,
    FOREIGN KEY (owner, turn) REFERENCES turns (owner, seq) ON DELETE CASCADE
) STRICT;
CREATE INDEX facts_by_slot ON facts (owner, slot);
CREATE INDEX facts_by_turn ON facts (owner, turn);

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
    owner INTEGER NOT NULL,
    id TEXT NOT NULL,
    session INTEGER NOT NULL,
    at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'answered', 'partial', 'failed')),
    model TEXT,
    host TEXT,
    settings INTEGER,
    end BLOB,
    usage TEXT,
    response_id TEXT,
    error TEXT,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id),
    FOREIGN KEY (owner, settings) REFERENCES settings (owner, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_session ON calls (owner, session, at);
CREATE INDEX calls_by_response ON calls (owner, response_id) WHERE owner > 0 AND response_id IS NOT NULL;
CREATE INDEX calls_of_nobody ON calls (response_id) WHERE owner < 0 AND response_id IS NOT NULL;

-- What the calls of forgotten sessions cost together, without whose they were: per day (of UTC), host and
-- model, both '' where not known. uncounted are the calls whose tokens the provider did not count; written
-- are the tokens written to its cache.
CREATE TABLE sums (
    day TEXT NOT NULL,
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    uncounted INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    written INTEGER NOT NULL,
    output INTEGER NOT NULL,
    PRIMARY KEY (day, host, model)
) STRICT, WITHOUT ROWID;

-- What a call's receipt says besides its row in calls, without words: account is JSON. at is the time of the
-- call in microseconds since 1970, so that times compare whatever zone the clock had that gave them.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    call TEXT NOT NULL,
    session INTEGER NOT NULL,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    UNIQUE (owner, call),
    UNIQUE (owner, id),
    FOREIGN KEY (owner, call) REFERENCES calls (owner, id) ON DELETE CASCADE,
    FOREIGN KEY (owner, session) REFERENCES sessions (owner, id)
) STRICT;
CREATE INDEX receipts_by_session ON receipts (owner, session, at);

-- The turns a receipt names, in its order: those that its call journaled, and, with JSON in about, those that
-- its request quoted. With a turn its rows go.
CREATE TABLE receipt_turns (
    owner INTEGER NOT NULL,
    receipt INTEGER NOT NULL,
    place INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    about TEXT,
    PRIMARY KEY (owner, receipt, place),
    FOREIGN KEY (owner, receipt) REFERENCES receipts (owner, id) ON DELETE CASCADE,
    FOREIGN KEY (owner, turn) REFERENCES turns (owner, seq) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_turns_by_turn ON receipt_turns (owner, turn)
"""

_OWNER = "(SELECT o.id FROM owners o WHERE o.id IN (x.owner, -x.owner))"
"""The owner, by its number in the second edition, that a row `x` of the first names."""
# The condition for sessions that were forgotten as a whole: calls outlive turns that are forgotten singly.
_FORGOTTEN = (
    "(EXISTS (SELECT 1 FROM first_tombstones WHERE session = s.id)"
    " AND NOT EXISTS (SELECT 1 FROM first_turns WHERE session = s.id)"
    " AND NOT EXISTS (SELECT 1 FROM first_calls WHERE session = s.id))"
)

_MOVES = {
    # rid: until the log is emptied it holds the names of what was forgotten.
    "owners": """
INSERT INTO owners (id, digest, generation, redaction, rid)
SELECT CASE WHEN user IS NULL THEN -id ELSE id END,
       CASE WHEN user IS NULL THEN name_digest('session', session) ELSE name_digest('user', user) END,
       generation, redaction, min(rid, max(redaction - 1, 0))
FROM first_owners""",
    "sessions": f"""
INSERT INTO sessions (id, owner, digest, created, used, generation)
SELECT x.id, {_OWNER}, name_digest('session', x.name), x.created,
       coalesce((SELECT at FROM (SELECT at FROM first_turns WHERE session = x.id
                                 UNION ALL SELECT at FROM first_calls WHERE session = x.id)
                 ORDER BY julianday(at) DESC LIMIT 1), x.created),
       x.generation
FROM first_sessions x""",
    "turns": """
INSERT INTO turns (seq, owner, session, parent, identity, saying, meaning, role, state, at, payload, media,
                   generation)
SELECT x.seq, s.owner, x.session, x.parent, x.identity, x.saying, x.meaning, x.role, x.state, x.at, x.payload,
       x.media, x.generation
FROM first_turns x JOIN sessions s ON s.id = x.session ORDER BY x.seq""",
    "tombstones": """
INSERT INTO tombstones (owner, session, parent, identity, saying, generation)
SELECT s.owner, x.session, x.parent, x.identity, x.saying, x.generation
FROM first_tombstones x JOIN sessions s ON s.id = x.session""",
    "media": f"""
INSERT INTO media (owner, digest, content, size)
SELECT {_OWNER}, x.digest, x.content, length(CAST(c.body AS BLOB))
FROM first_media x JOIN contents c ON c.id = x.content""",
    "settings": f"""
INSERT INTO settings (id, owner, digest, payload)
SELECT x.id, {_OWNER}, x.digest, x.payload FROM first_settings x ORDER BY x.id""",
    "views": """
INSERT INTO embedders (fingerprint, upto)
SELECT x.fingerprint, coalesce((SELECT min(o.turn) - 1 FROM first_views o
                                WHERE o.vector IS NULL OR o.fingerprint <> x.fingerprint), max(x.turn))
FROM first_views x WHERE x.vector IS NOT NULL GROUP BY x.fingerprint;
INSERT INTO views (turn, owner, entry, generation)
SELECT x.turn, t.owner, x.entry, x.generation
FROM first_views x JOIN turns t ON t.seq = x.turn ORDER BY x.turn;
INSERT INTO vectors (owner, turn, embedder, vector)
SELECT t.owner, x.turn, e.id, x.vector
FROM first_views x JOIN turns t ON t.seq = x.turn JOIN embedders e ON e.fingerprint = x.fingerprint
WHERE x.vector IS NOT NULL ORDER BY x.turn""",
    "epochs": """
INSERT INTO epochs (owner, session, host, model, start, summary)
SELECT s.owner, x.session, x.host, x.model, x.start, x.summary
FROM first_epochs x JOIN sessions s ON s.id = x.session""",
    "pins": f"""
INSERT INTO pins (id, owner, text, at)
SELECT x.id, {_OWNER}, x.text, x.at FROM first_pins x ORDER BY x.id""",
    "calls": """
INSERT INTO calls (owner, id, session, at, state, model, host, settings, end, usage, response_id, error)
SELECT s.owner, x.id, x.session, x.at, x.state, x.model, x.host, x.settings, x.end, x.usage, x.response_id,
       x.error
FROM first_calls x JOIN sessions s ON s.id = x.session ORDER BY x.id""",
    "receipts": """
INSERT INTO receipts (id, owner, call, session, at, account)
SELECT x.id, s.owner, x.call, x.session, x.at, x.account
FROM first_receipts x JOIN sessions s ON s.id = x.session ORDER BY x.id""",
    "receipt_turns": """
INSERT INTO receipt_turns (owner, receipt, place, turn, about)
SELECT r.owner, x.receipt, x.place, x.turn, x.about
FROM first_receipt_turns x JOIN receipts r ON r.id = x.receipt""",
}
"""The statements that write each table of the first edition anew, in this order: a table comes after those
that its statements read."""
_NUMBERED = ("turns", "pins")
"""Tables that never give a number twice, so that their counters are taken over."""


def move(db: sqlite3.Connection) -> None:
    """Make a file of the first edition one of the second, inside the transaction that the caller began.

    The caller has switched foreign keys off. Sessions and owners that were forgotten as a whole lose their
    names, of which the digests are kept.

    Raises:
        LookupError: a row names another that does not exist, so the file is damaged.
    """
    teach(db)
    for names in ("SELECT user, session FROM owners", "SELECT name FROM sessions"):
        db.execute(
            names
        ).fetchall()  # what is not UTF-8 is told here, and in a function that SQL calls is not
    before = [_count(db, table) for table in _MOVES]
    if not any(before):  # a new file: moving nothing would leave it free pages to begin with
        _execute(db, [f"DROP TABLE {table}" for table in _MOVES])
        _execute(db, _SCHEMA.split(";\n"))
        return
    # Else SQLite would also rename the tables in the foreign keys of other tables, which are dropped anyway.
    db.execute("PRAGMA legacy_alter_table = ON")
    for table in _MOVES:
        db.execute(f"ALTER TABLE {table} RENAME TO first_{table}")
    db.execute("PRAGMA legacy_alter_table = OFF")
    statements = _SCHEMA.split(";\n")
    indexes = [statement for statement in statements if "CREATE INDEX" in statement]
    _execute(db, [statement for statement in statements if statement not in indexes])
    for table, moves in _MOVES.items():
        _execute(db, moves.split(";\n"))
        if table == "sessions":
            _keep_names(db)
        if table in _NUMBERED:
            db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            db.execute("UPDATE sqlite_sequence SET name = ?1 WHERE name = 'first_' || ?1", (table,))
        if table != "owners":  # `_keep_names` reads it after "sessions"; it is dropped last
            db.execute(f"DROP TABLE first_{table}")
    db.execute("DROP TABLE first_owners")
    # Indexes last: building one from all rows is quicker than keeping it up to date. They have the names of
    # the first edition's indexes, which are gone by now.
    _execute(db, indexes)
    astray = db.execute("SELECT 1 FROM pragma_foreign_key_check LIMIT 1").fetchone()
    if [_count(db, table) for table in _MOVES] != before or astray is not None:
        raise LookupError("a row names one that is not there")


def _execute(db: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        db.execute(statement)


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _keep_names(db: sqlite3.Connection) -> None:
    """Keep the names of owners and sessions, except of those that were forgotten as a whole."""
    owners = db.execute(
        "SELECT CASE WHEN w.user IS NULL THEN -w.id ELSE w.id END, coalesce(w.user, w.session)"
        " FROM first_owners w WHERE w.redaction = 0 OR EXISTS (SELECT 1 FROM first_pins WHERE owner = w.id)"
        f" OR EXISTS (SELECT 1 FROM first_sessions s WHERE s.owner = w.id AND NOT {_FORGOTTEN}) ORDER BY w.id"
    ).fetchall()
    for owner, name in owners:
        db.execute("UPDATE owners SET name = ? WHERE id = ?", (keep_name(db, "user", name), owner))
    sessions = db.execute(
        "SELECT s.id, s.name FROM first_sessions s JOIN first_owners w ON w.id = s.owner"
        f" WHERE w.user IS NOT NULL AND NOT {_FORGOTTEN} ORDER BY s.id"
    ).fetchall()
    for session, name in sessions:
        db.execute("UPDATE sessions SET name = ? WHERE id = ?", (keep_name(db, "user", name), session))
    db.execute(
        "UPDATE sessions SET name = (SELECT name FROM owners WHERE id = sessions.owner) WHERE owner < 0"
    )
