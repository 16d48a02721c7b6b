"""The abilities of the SQLite store beyond the journal: views, epochs, pins, calls, receipts, forgetting."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from convmem.abilities import (
    Condition,
    Epoch,
    ForgetRequest,
    Forgotten,
    KnownCall,
    LearntLimit,
    OwnerRef,
    Pin,
    ViewRow,
    ViewsReply,
)
from convmem.errors import StoreCorruptError, StoreUnavailableError
from convmem.protocols import SessionRef
from convmem.stores.sqlite.contents import blot, bytes_of, keep, replace, text_of
from convmem.stores.sqlite.forget import forget, parts
from convmem.stores.sqlite.names import (
    IS_OWNER,
    IS_SESSION,
    SESSION_NAME,
    USER_NAME,
    keep_name,
    owner_values,
    session_values,
)
from convmem.stores.sqlite.receipts import CALL_COLUMNS, call_of, receipts
from convmem.stores.sqlite.rows import TURN_COLUMNS, TURN_TABLES, turn_of
from convmem.threads.pace import give_way
from convmem.wire.message import weight_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from convmem.abilities import (
        CallsRequest,
        EpochRef,
        NewView,
        ReceiptRow,
        ReceiptsRequest,
        ResponseRequest,
        UnindexedRequest,
        ViewsRequest,
    )
    from convmem.protocols import CallRow
    from convmem.stores.sqlite.connections import Connections
    from convmem.types import Turn

__all__ = ["SQLiteAbilities", "epoch_of", "make_owner", "owner_row", "pins_of", "views_of"]

_MOST_PROBLEMS = 20
"""Problems of each kind that `check` lists: a damaged page makes thousands, and twenty say as much."""


class SQLiteAbilities:
    """The part of `SQLiteStore` that keeps what was derived from turns, and forgets."""

    _db: Connections
    _path: str

    def views(self, request: ViewsRequest) -> ViewsReply:
        """Return an owner's turns as recall sees them, or those that changed since a generation."""
        with self._db.reading() as db:
            return views_of(db, request)

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views; views of turns that are gone are passed over."""
        with self._db.writing() as db:
            generations: dict[int, int] = {}
            for view in batch:
                _put_view(db, view, generations)
            for fingerprint in {view.fingerprint for view in batch if view.vector is not None}:
                if fingerprint is not None:
                    _raise_upto(db, fingerprint)

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Return turns that still need a view, in the journal's order."""
        with self._db.reading() as db:
            seqs = _unindexed(db, request)
            rows = db.execute(
                f"SELECT {TURN_COLUMNS} FROM {TURN_TABLES}"
                f" WHERE t.seq IN ({','.join('?' * len(seqs))}) ORDER BY t.seq",
                seqs,
            )
            return _first_few(turn_of(db, row) for row in rows)

    # Responses.

    def response(self, request: ResponseRequest) -> KnownCall | None:
        """Return the call that brought a response; the latest, should there be several."""
        with self._db.reading() as db:
            owner = OwnerRef(request.user, request.session if request.user is None else None)
            whose, values = "c.owner > 0" if request.user is not None else "c.owner < 0", list[int]()
            if owner != OwnerRef(None):
                row = owner_row(db, owner)
                whose, values = f"{whose} AND c.owner = ?", [row[0] if row is not None else 0]
            row = db.execute(
                f"SELECT c.id, {USER_NAME}, {SESSION_NAME}, c.at, c.state, c.end FROM calls c"
                " JOIN sessions s ON s.id = c.session JOIN owners o ON o.id = c.owner"
                f" WHERE {whose} AND c.response_id = ?"
                " AND (? IS NULL OR s.digest = name_digest('session', ?)) ORDER BY c.at DESC LIMIT 1",
                (*values, request.response_id, request.session, request.session),
            ).fetchone()
        if row is None:
            return None
        id_, user, session, at, state, end = row
        return KnownCall(id_, SessionRef(user, session), datetime.fromisoformat(at), state, end)

    # Epochs.

    def epoch(self, which: EpochRef) -> Epoch | None:
        """Return the epoch that is running, or None before the first cut."""
        with self._db.reading() as db:
            return epoch_of(db, which)

    def put_epoch(self, which: EpochRef, epoch: Epoch | None, *, redaction: int | None = None) -> bool:
        """Keep an epoch in place of the running one, or end that; a session without turns is passed over."""
        with self._db.writing() as db:
            owner = owner_row(db, OwnerRef.of(which.ref))
            if redaction is not None and redaction != (owner[2] if owner is not None else 0):
                return False
            found = _session(db, which)
            if found is None:
                return True
            place = (*found, which.host, which.model)
            row = db.execute(f"SELECT summary FROM epochs WHERE {_PLACE}", place).fetchone()
            old = row[0] if row is not None else None
            there = "SELECT 1 FROM turns WHERE owner = ? AND session = ?"
            if epoch is None:
                blot(db, [old])
                db.execute(f"DELETE FROM epochs WHERE {_PLACE}", place)
            elif db.execute(there, found).fetchone() is not None:
                summary = replace(db, old, bytes_of(epoch.summary))
                db.execute(
                    "INSERT OR REPLACE INTO epochs (owner, session, host, model, start, summary)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*place, epoch.start, summary),
                )
        return True

    # Pins.

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """Return an owner's pins, the oldest first."""
        with self._db.reading() as db:
            row = owner_row(db, owner)
            return pins_of(db, row[0]) if row is not None else []

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text; the same text again is the same pin."""
        with self._db.writing() as db:
            number, _ = make_owner(db, owner)
            _raise_generation(db, number)
            for pin in pins_of(db, number):
                if pin.text == text:
                    return pin
            (id_,) = db.execute(
                "INSERT INTO pins (owner, text, at) VALUES (?, ?, ?) RETURNING id",
                (number, keep(db, bytes_of(text)), at.isoformat()),
            ).fetchone()
        return Pin(f"p{id_}", text, at)

    def drop_pin(self, owner: OwnerRef, pin: str) -> bool:
        """Delete a pin for good, by its id; False when there is none."""
        return self.forget(ForgetRequest(owner=owner, seqs=(), pins=(pin,))).pins > 0

    # Calls.

    def calls(self, request: CallsRequest) -> Sequence[CallRow]:
        """Return a session's calls in the order of their ids, without settings."""
        with self._db.reading() as db:
            found = db.execute(
                f"SELECT {CALL_COLUMNS} FROM calls c"
                " JOIN sessions s ON s.id = c.session JOIN owners o ON o.id = c.owner"
                f" WHERE {IS_SESSION} AND c.id > ? ORDER BY c.id LIMIT ?",
                (*session_values(request.ref), request.after, request.limit),
            ).fetchall()
        return [call_of(row) for row in found]

    # Receipts and learnt limits.

    def receipts(self, request: ReceiptsRequest) -> Sequence[ReceiptRow]:
        """Return receipts by the time of their calls, the newest first."""
        with self._db.reading() as db:
            return receipts(db, request)

    def limits(self) -> Sequence[LearntLimit]:
        """Return the context lengths learnt from providers' errors, in the order of hosts and models."""
        with self._db.reading() as db:
            rows = db.execute("SELECT host, model, tokens, at FROM limits ORDER BY host, model").fetchall()
        return [
            LearntLimit(host, model, tokens, datetime.fromisoformat(at)) for host, model, tokens, at in rows
        ]

    def put_limit(self, limit: LearntLimit) -> None:
        """Keep a context length, in place of the one kept for its host and model."""
        with self._db.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?)",
                (limit.host, limit.model, limit.tokens, limit.at.isoformat()),
            )

    # Checking.

    def check(self) -> Condition:
        """Check that the file is whole (`PRAGMA integrity_check`) and that its rows name rows that exist."""
        try:
            found, free_bytes = self._db.apart(_looked_over)
        except StoreCorruptError as error:
            return Condition(problems=(str(error.__cause__ or error),))
        log = Path(f"{self._path}-wal")
        return Condition(
            problems=tuple(problem for problem in found if problem != "ok"),
            log_bytes=log.stat().st_size if log.exists() else 0,
            free_bytes=free_bytes,
        )

    # Forgetting.

    def forget(self, request: ForgetRequest) -> Forgotten:
        """Delete turns and everything derived from them, leaving tombstones.

        The rows of the sessions and the owner stay, empty: tombstones are found by them when the caller sends
        the history again. A session without a turn but with tombstones is not listed. One that is forgotten
        as a whole loses its name and keeps a digest of it, and so does an owner. Calls stay, they hold no
        words; those of a session that is forgotten as a whole are added up without its name and go. Receipts
        go with the turns of their calls. Contents are overwritten in place, so that the file keeps its size.
        """
        with self._db.writing() as db:
            row = owner_row(db, request.owner)
            if row is None:
                return Forgotten((), 0, 0)
            gone = forget(db, row[0], request)
        return Forgotten(gone.seqs, gone.pins, self._copies(request.owner))

    def residue(self, owner: OwnerRef, seqs: Sequence[int]) -> int:
        """Count the turns of these that are left, and the receipts' lines that name one of them.

        While the write-ahead log may hold copies of what the owner forgot, the count is one more.
        """
        left = 0
        with self._db.reading() as db:
            row = owner_row(db, owner)
            for part in parts(seqs) if row is not None else ():
                marks, values = ",".join("?" * len(part)), (row[0] if row is not None else 0, *part)
                for table, column in (("turns", "seq"), ("receipt_turns", "turn")):
                    named = f"SELECT count(*) FROM {table} WHERE owner = ? AND {column} IN ({marks})"
                    left += db.execute(named, values).fetchone()[0]
        return left + self._copies(owner)

    def _copies(self, owner: OwnerRef) -> int:
        """Empty the write-ahead log of what the owner forgot; 1 when a reader still needs the log, else 0.

        The column `owners.rid` remembers up to which redaction the log was emptied: what is written later
        holds none of those words, so the log need not be emptied again for them.
        """
        with self._db.reading() as db:
            found = owner_row(db, owner)
            row = db.execute(
                "SELECT redaction FROM owners WHERE id = ? AND rid < redaction",
                found[:1] if found else (None,),
            ).fetchone()
        if found is None or row is None:
            return 0
        try:
            if not self._db.empty_log():
                return 1
        except StoreUnavailableError:  # the turns are deleted all the same, but the log may have a copy
            return 1
        try:
            with self._db.writing() as db:
                db.execute("UPDATE owners SET rid = max(rid, ?) WHERE id = ?", (row[0], found[0]))
        except StoreUnavailableError:
            pass  # not remembered: the next call empties the log once more
        return 0


def _looked_over(db: sqlite3.Connection) -> tuple[list[str], int]:
    """Return the problems of a file, and how many bytes of it are unused."""
    found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check").fetchmany(_MOST_PROBLEMS):
        found.append(f"row {row} of {table} names a row of {parent} that is not there")
    free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return found, free * size


def _first_few(turns: Iterable[Turn]) -> list[Turn]:
    """Return the first turns, until their messages have `_READ_CHARACTERS` together; at least one."""
    found: list[Turn] = []
    characters = 0
    for turn in turns:
        found.append(turn)
        characters += weight_of(turn.payload)
        if characters > _READ_CHARACTERS:
            break
    return found


_READ_CHARACTERS = 4_000_000
"""Characters of turns that are read at a time to be indexed, some 4 to 16 MB of memory: 256 turns of 20 MB
each would fill the memory of any machine."""

# Queries of `views_of`: all turns of an owner, or those that changed since a generation (?3). The sessions
# come first there, so that only turns of sessions that changed are looked at.
_ALL = "SELECT seq FROM turns WHERE owner = ?2"
_CHANGED = (
    "SELECT t.seq AS seq FROM sessions s CROSS JOIN turns t"
    " ON t.owner = s.owner AND t.session = s.id AND t.generation > ?3"
    " WHERE s.owner = ?2 AND s.generation > ?3"
    " UNION SELECT turn FROM views WHERE owner = ?2 AND generation > ?3"
)
_EMBEDDER = "SELECT id FROM embedders WHERE fingerprint = ?1"
_PLACE = "owner = ? AND session = ? AND host = ? AND model = ?"


def views_of(db: sqlite3.Connection, request: ViewsRequest) -> ViewsReply:
    """Return an owner's turns as recall sees them, or those that changed since a generation.

    Args:
        db: a connection, within a transaction.
        request: names the owner, the generation and the most turns.
    """
    row = owner_row(db, request.owner)
    if row is None:
        return ViewsReply(0, 0, ())
    owner, generation, redaction = row
    if generation == request.since:
        return ViewsReply(generation, redaction, ())
    chosen = _CHANGED if request.since else _ALL
    limit = request.limit if request.limit is not None else -1
    rows = db.execute(
        f"SELECT t.seq, {SESSION_NAME}, t.identity, t.parent, t.role, t.state, t.saying, a.body, b.body"
        f" FROM (SELECT seq FROM ({chosen}) WHERE seq > ?4 ORDER BY seq LIMIT ?5) c"
        " CROSS JOIN turns t ON t.seq = c.seq"
        " CROSS JOIN sessions s ON s.id = t.session CROSS JOIN views v ON v.turn = t.seq"
        " LEFT JOIN contents a ON a.id = v.entry"
        f" LEFT JOIN vectors x ON x.owner = ?2 AND x.turn = t.seq AND x.embedder = ({_EMBEDDER})"
        " LEFT JOIN contents b ON b.id = x.vector",
        (request.fingerprint, owner, request.since, request.after, limit),
    )
    found: list[ViewRow] = []
    for each in rows:
        found.append(ViewRow(*each))
        give_way()
    # They come in this order already; SQL promises it only for an outer ORDER BY, which costs more.
    found.sort(key=lambda row: row.seq)
    return ViewsReply(generation, redaction, found)


def epoch_of(db: sqlite3.Connection, which: EpochRef) -> Epoch | None:
    """Return the epoch that is running, or None before the first cut."""
    found = _session(db, which)
    if found is None:
        return None
    row = db.execute(
        f"SELECT start, (SELECT body FROM contents WHERE id = summary) FROM epochs WHERE {_PLACE}",
        (*found, which.host, which.model),
    ).fetchone()
    return Epoch(row[0], text_of(row[1])) if row is not None else None


def owner_row(db: sqlite3.Connection, owner: OwnerRef) -> tuple[int, int, int] | None:
    """Return the owner's row, generation and redaction; None when there is no such owner."""
    row: tuple[int, int, int] | None = db.execute(
        f"SELECT o.id, o.generation, o.redaction FROM owners o WHERE {IS_OWNER}", owner_values(owner)
    ).fetchone()
    return row


def make_owner(db: sqlite3.Connection, owner: OwnerRef) -> tuple[int, int | None]:
    """Return the owner's row and the row of its name, making them where they are missing."""
    kind, name = owner_values(owner)
    row = db.execute(f"SELECT o.id, o.name FROM owners o WHERE {IS_OWNER}", (kind, name)).fetchone()
    if row is not None and row[1] is not None:
        return int(row[0]), int(row[1])
    kept = keep_name(db, kind, str(name))
    if row is not None:
        db.execute("UPDATE owners SET name = ? WHERE id = ?", (kept, row[0]))
        return int(row[0]), kept
    number = "max(coalesce(max(id), 0), 0) + 1" if kind == "user" else "min(coalesce(min(id), 0), 0) - 1"
    (made,) = db.execute(
        f"INSERT INTO owners (id, digest, name) SELECT {number}, name_digest(?, ?), ? FROM owners"
        " RETURNING id",
        (kind, name, kept),
    ).fetchone()
    return int(made), kept


def _session(db: sqlite3.Connection, which: EpochRef) -> tuple[int, int] | None:
    """Return the rows of the owner and the session; None when there is no such session."""
    row: tuple[int, int] | None = db.execute(
        f"SELECT o.id, s.id FROM sessions s JOIN owners o ON o.id = s.owner WHERE {IS_SESSION}",
        session_values(which.ref),
    ).fetchone()
    return row


def _raise_generation(db: sqlite3.Connection, owner: int) -> int:
    raised = "UPDATE owners SET generation = generation + 1 WHERE id = ? RETURNING generation"
    return int(db.execute(raised, (owner,)).fetchone()[0])


def _put_view(db: sqlite3.Connection, view: NewView, generations: dict[int, int]) -> None:
    """Keep one view.

    Args:
        db: the connection.
        view: the view.
        generations: the new generations of owners, by their rows, that this batch raised already: once each.
    """
    row = db.execute("SELECT owner, entry FROM views WHERE turn = ?", (view.seq,)).fetchone()
    embedder = _embedder(db, view.fingerprint) if row is not None and view.vector is not None else None
    if row is None or (embedder is None and view.entry is None):
        return
    owner, entry = row
    if owner not in generations:
        generations[owner] = _raise_generation(db, owner)
    if view.entry is not None:
        entry = replace(db, entry, view.entry)
    if embedder is not None and view.vector is not None:
        _put_vector(db, (owner, view.seq, embedder), view.vector)
    db.execute(
        "UPDATE views SET entry = ?, generation = ? WHERE turn = ?", (entry, generations[owner], view.seq)
    )


def _embedder(db: sqlite3.Connection, fingerprint: str | None) -> int | None:
    """Return the row of an embedder, making it when there is none; None without a fingerprint."""
    if fingerprint is None:
        return None
    row = db.execute("SELECT id FROM embedders WHERE fingerprint = ?", (fingerprint,)).fetchone()
    if row is None:
        row = db.execute(
            "INSERT INTO embedders (fingerprint) VALUES (?) RETURNING id", (fingerprint,)
        ).fetchone()
    return int(row[0])


def _put_vector(db: sqlite3.Connection, place: tuple[int, int, int], vector: bytes) -> None:
    row = db.execute(
        "SELECT vector FROM vectors WHERE owner = ? AND turn = ? AND embedder = ?", place
    ).fetchone()
    content = replace(db, row[0] if row is not None else None, vector)
    if row is None or row[0] != content:
        db.execute(
            "INSERT OR REPLACE INTO vectors (owner, turn, embedder, vector) VALUES (?, ?, ?, ?)",
            (*place, content),
        )


def _raise_upto(db: sqlite3.Connection, fingerprint: str) -> None:
    """Raise the turn up to which an embedder has embedded all turns, by at most `_STRETCH` turns."""
    embedder = _embedder(db, fingerprint)
    db.execute(
        "WITH stretch AS MATERIALIZED (SELECT turn, owner FROM views"
        " WHERE turn > (SELECT upto FROM embedders WHERE id = ?1) ORDER BY turn LIMIT ?2)"
        " UPDATE embedders SET upto = coalesce((SELECT turn - 1 FROM stretch v"
        f" WHERE NOT {_HAS_VECTOR} ORDER BY turn LIMIT 1), (SELECT max(turn) FROM stretch), upto)"
        " WHERE id = ?1",
        (embedder, _STRETCH),
    )


# The condition that the turn of a view, `v`, has a vector by the embedder ?1.
_HAS_VECTOR = (
    "EXISTS (SELECT 1 FROM vectors x WHERE x.owner = v.owner AND x.turn = v.turn AND x.embedder = ?1)"
)
_STRETCH = 1_000
"""Turns that are looked at to raise `embedders.upto`, which takes a millisecond in which nobody else can
write; the next batch of views goes on from there."""


def _unindexed(db: sqlite3.Connection, request: UnindexedRequest) -> list[int]:
    """Return the `seq` of turns that lack a view, found by indexes without a look at other turns."""
    after, limit = request.after, request.limit
    rows = db.execute(
        "SELECT turn FROM views INDEXED BY views_to_analyze WHERE entry IS NULL AND turn > ?"
        " ORDER BY turn LIMIT ?",
        (after, limit),
    ).fetchall()
    if request.fingerprint is not None:
        known = "SELECT id, upto FROM embedders WHERE fingerprint = ?"
        embedder, upto = db.execute(known, (request.fingerprint,)).fetchone() or (None, 0)
        rows += db.execute(
            f"SELECT turn FROM views v WHERE turn > ?2 AND NOT {_HAS_VECTOR} ORDER BY turn LIMIT ?3",
            (embedder, max(after, upto), limit),
        )
    return sorted({seq for (seq,) in rows})[:limit]


def pins_of(db: sqlite3.Connection, owner: int) -> list[Pin]:
    """Return the pins of an owner's row, the oldest first."""
    rows = db.execute(
        "SELECT p.id, c.body, p.at FROM pins p JOIN contents c ON c.id = p.text"
        " WHERE p.owner = ? ORDER BY p.id",
        (owner,),
    )
    return [Pin(f"p{number}", text_of(text), datetime.fromisoformat(at)) for number, text, at in rows]
