"""What the SQLite store can do beyond the journal: views, epochs, pins, calls, receipts, forgetting."""

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

__all__ = ["SQLiteAbilities", "epoch_of", "owner_row", "pins_of", "views_of"]

_MOST_PROBLEMS = 20


class SQLiteAbilities:
    """The part of `SQLiteStore` that keeps what was derived from turns, and forgets."""

    _db: Connections
    _path: str

    def views(self, request: ViewsRequest) -> ViewsReply:
        """An owner's turns as recall sees them, or those that changed since a generation."""
        with self._db.reading() as db:
            return views_of(db, request)

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views; those of turns that are gone are passed over."""
        with self._db.writing() as db:
            generations: dict[int, int] = {}
            for view in batch:
                _put_view(db, view, generations)

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Turns that still need a view, in the journal's order."""
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
        """The call that brought a response; the latest, should there be several."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT c.id, o.user, s.name, c.at, c.state, c.end FROM calls c"
                " JOIN sessions s ON s.id = c.session JOIN owners o ON o.id = s.owner"
                " WHERE c.response_id = ?1 AND +o.user IS ?2 AND (?3 IS NULL OR s.name = ?3)"
                " ORDER BY c.at DESC LIMIT 1",
                (request.response_id, request.user, request.session),
            ).fetchone()
        if row is None:
            return None
        id_, user, session, at, state, end = row
        return KnownCall(id_, SessionRef(user, session), datetime.fromisoformat(at), state, end)

    # Epochs.

    def epoch(self, which: EpochRef) -> Epoch | None:
        """The running epoch."""
        with self._db.reading() as db:
            return epoch_of(db, which)

    def put_epoch(self, which: EpochRef, epoch: Epoch | None, *, redaction: int | None = None) -> bool:
        """A cut, or the end of an epoch; a session without turns is passed over."""
        with self._db.writing() as db:
            owner = owner_row(db, OwnerRef.of(which.ref))
            if redaction is not None and redaction != (owner[2] if owner is not None else 0):
                return False
            place = (_session(db, which), which.host, which.model)
            row = db.execute(
                "SELECT summary FROM epochs WHERE session = ? AND host = ? AND model = ?", place
            ).fetchone()
            old = row[0] if row is not None else None
            if epoch is None:
                blot(db, [old])
                db.execute("DELETE FROM epochs WHERE session = ? AND host = ? AND model = ?", place)
            elif db.execute("SELECT 1 FROM turns WHERE session = ?", place[:1]).fetchone() is not None:
                summary = replace(db, old, bytes_of(epoch.summary))
                db.execute(
                    "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?)", (*place, epoch.start, summary)
                )
        return True

    # Pins.

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """An owner's pins, the oldest first."""
        with self._db.reading() as db:
            row = owner_row(db, owner)
            return pins_of(db, row[0]) if row is not None else []

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text; the same text again is the same pin."""
        with self._db.writing() as db:
            column, name = _named(owner)
            db.execute(f"INSERT INTO owners ({column}) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            (number,) = db.execute(f"SELECT id FROM owners WHERE {column} = ?", (name,)).fetchone()
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
        """Delete a pin, by its id; whether it was there."""
        return self.forget(ForgetRequest(owner=owner, seqs=(), pins=(pin,))).pins > 0

    # Calls.

    def calls(self, request: CallsRequest) -> Sequence[CallRow]:
        """A session's calls in the order of their ids, without settings."""
        with self._db.reading() as db:
            found = db.execute(
                f"SELECT {CALL_COLUMNS} FROM calls c"
                " JOIN sessions s ON s.id = c.session JOIN owners o ON o.id = s.owner"
                " WHERE s.name = ? AND o.user IS ? AND c.id > ? ORDER BY c.id LIMIT ?",
                (request.ref.session, request.ref.user, request.after, request.limit),
            ).fetchall()
        return [call_of(row) for row in found]

    # Receipts and learnt limits.

    def receipts(self, request: ReceiptsRequest) -> Sequence[ReceiptRow]:
        """Receipts by the time of their calls, the newest first."""
        with self._db.reading() as db:
            return receipts(db, request)

    def limits(self) -> Sequence[LearntLimit]:
        """The context lengths learnt from providers' errors, in the order of hosts and models."""
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

    # Looking it over.

    def check(self) -> Condition:
        """Whether the file is whole (`PRAGMA integrity_check`, and that rows name rows that are there)."""
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

        The rows of the sessions and the owner stay, empty, with the names that the caller gave them:
        tombstones are found by them when the caller sends the history again. A session without a turn but
        with tombstones is not listed. Calls stay, they hold no words; those of a session that is forgotten
        as a whole go. Receipts go with the turns of their calls. Contents are overwritten in place, so that
        the file keeps its size.
        """
        with self._db.writing() as db:
            row = owner_row(db, request.owner)
            if row is None:
                return Forgotten((), 0, 0)
            gone = forget(db, row[0], request)
        return Forgotten(gone.seqs, gone.pins, self._copies(request.owner))

    def residue(self, owner: OwnerRef, seqs: Sequence[int]) -> int:
        """How many of these turns are left, and how often receipts name them.

        One more while the write-ahead log may hold copies.
        """
        left = 0
        with self._db.reading() as db:
            row = owner_row(db, owner)
            for part in parts(seqs) if row is not None else ():
                marks, values = ",".join("?" * len(part)), (row[0] if row is not None else 0, *part)
                left += db.execute(
                    "SELECT count(*) FROM turns t JOIN sessions s ON s.id = t.session"
                    f" WHERE s.owner = ? AND t.seq IN ({marks})",
                    values,
                ).fetchone()[0]
                left += db.execute(
                    "SELECT count(*) FROM receipt_turns n JOIN receipts r ON r.id = n.receipt"
                    f" JOIN sessions s ON s.id = r.session WHERE s.owner = ? AND n.turn IN ({marks})",
                    values,
                ).fetchone()[0]
        return left + self._copies(owner)

    def _copies(self, owner: OwnerRef) -> int:
        """Rid the write-ahead log of what the owner forgot; 1 when a reader of the log keeps it, else 0.

        That the log was emptied since is remembered in the file: what is written later holds no such words,
        and whoever reads that is in nobody's way.
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
        except StoreUnavailableError:  # the turns are gone all the same
            return 1
        try:
            with self._db.writing() as db:
                db.execute("UPDATE owners SET rid = max(rid, ?) WHERE id = ?", (row[0], found[0]))
        except StoreUnavailableError:
            pass  # the next one empties the log again
        return 0


def _looked_over(db: sqlite3.Connection) -> tuple[list[str], int]:
    """What is wrong with a file, and how many bytes of it are free."""
    found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check").fetchmany(_MOST_PROBLEMS):
        found.append(f"row {row} of {table} names a row of {parent} that is not there")
    free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return found, free * size


def _first_few(turns: Iterable[Turn]) -> list[Turn]:
    """Turns as far as their messages have so many characters together; at least one."""
    found: list[Turn] = []
    characters = 0
    for turn in turns:
        found.append(turn)
        characters += weight_of(turn.payload)
        if characters > _READ_CHARACTERS:
            break
    return found


_READ_CHARACTERS = 4_000_000
"""Of turns that are read to be indexed, at a time: 256 turns of 20 MB each would fill the memory of any
machine."""

_ALL = "SELECT t.seq AS seq FROM sessions s JOIN turns t ON t.session = s.id WHERE s.owner = ?2"
_CHANGED = (
    "SELECT t.seq AS seq FROM sessions s JOIN turns t ON t.session = s.id AND t.generation > ?3"
    " WHERE s.owner = ?2 AND s.generation > ?3"
    " UNION SELECT turn FROM views WHERE owner = ?2 AND generation > ?3"
)
_FINGERPRINTS = (  # one step per distinct fingerprint, however many turns have it
    "WITH RECURSIVE f (x) AS (SELECT min(fingerprint) FROM views UNION ALL"
    " SELECT (SELECT min(fingerprint) FROM views WHERE fingerprint > x) FROM f WHERE x IS NOT NULL)"
    " SELECT x FROM f WHERE x IS NOT NULL"
)


def _named(owner: OwnerRef) -> tuple[str, str | None]:
    return ("user", owner.user) if owner.user is not None else ("session", owner.session)


def owner_row(db: sqlite3.Connection, owner: OwnerRef) -> tuple[int, int, int] | None:
    """The owner's row, generation and redaction."""
    column, name = _named(owner)
    row: tuple[int, int, int] | None = db.execute(
        f"SELECT id, generation, redaction FROM owners WHERE {column} = ?", (name,)
    ).fetchone()
    return row


def views_of(db: sqlite3.Connection, request: ViewsRequest) -> ViewsReply:
    """An owner's turns as recall sees them, or those that changed since a generation.

    Args:
        db: within a transaction.
        request: whose, since when, and how many.
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
        "SELECT t.seq, s.name, t.identity, t.parent, t.role, t.state, t.saying, a.body, b.body"
        f" FROM (SELECT seq FROM ({chosen}) WHERE seq > ?4 ORDER BY seq LIMIT ?5) c"
        " CROSS JOIN turns t ON t.seq = c.seq"
        " CROSS JOIN sessions s ON s.id = t.session CROSS JOIN views v ON v.turn = t.seq"
        " LEFT JOIN contents a ON a.id = v.entry"
        " LEFT JOIN contents b ON b.id = CASE WHEN v.fingerprint = ?1 THEN v.vector END",
        (request.fingerprint, owner, request.since, request.after, limit),
    )
    found: list[ViewRow] = []
    for each in rows:
        found.append(ViewRow(*each))
        give_way()
    found.sort(key=lambda row: row.seq)  # they come so; SQL only promises it for a dearer ORDER BY
    return ViewsReply(generation, redaction, found)


def epoch_of(db: sqlite3.Connection, which: EpochRef) -> Epoch | None:
    """The running epoch."""
    row = db.execute(
        "SELECT e.start, c.body FROM epochs e JOIN contents c ON c.id = e.summary"
        " WHERE e.session = ? AND e.host = ? AND e.model = ?",
        (_session(db, which), which.host, which.model),
    ).fetchone()
    return Epoch(row[0], text_of(row[1])) if row is not None else None


def _session(db: sqlite3.Connection, which: EpochRef) -> int | None:
    user, name = which.ref.user, which.ref.session
    column, owned_by = ("user", user) if user is not None else ("session", name)
    row = db.execute(
        f"SELECT s.id FROM sessions s JOIN owners o ON o.id = s.owner WHERE o.{column} = ? AND s.name = ?",
        (owned_by, name),
    ).fetchone()
    return None if row is None else int(row[0])


def _raise_generation(db: sqlite3.Connection, owner: int) -> int:
    raised = "UPDATE owners SET generation = generation + 1 WHERE id = ? RETURNING generation"
    return int(db.execute(raised, (owner,)).fetchone()[0])


def _put_view(db: sqlite3.Connection, view: NewView, generations: dict[int, int]) -> None:
    """Keep one view; `generations` has those that this batch raised."""
    row = db.execute(
        "SELECT owner, entry, fingerprint, vector FROM views WHERE turn = ?", (view.seq,)
    ).fetchone()
    embedded = view.vector is not None and view.fingerprint is not None
    if row is None or not (embedded or view.entry is not None):
        return
    owner, entry, fingerprint, vector = row
    if owner not in generations:
        generations[owner] = _raise_generation(db, owner)
    if view.entry is not None:
        entry = replace(db, entry, view.entry)
    if view.vector is not None and embedded:
        fingerprint, vector = view.fingerprint, replace(db, vector, view.vector)
    db.execute(
        "UPDATE views SET entry = ?, fingerprint = ?, vector = ?, generation = ? WHERE turn = ?",
        (entry, fingerprint, vector, generations[owner], view.seq),
    )


def _unindexed(db: sqlite3.Connection, request: UnindexedRequest) -> list[int]:
    """Which turns lack a view, at the cost of those that do."""
    lacking = "SELECT turn FROM views INDEXED BY"
    after, limit = request.after, request.limit
    rows = db.execute(
        f"{lacking} views_to_analyze WHERE entry IS NULL AND turn > ? ORDER BY turn LIMIT ?", (after, limit)
    ).fetchall()
    if request.fingerprint is not None:
        for other in [None, *(x for (x,) in db.execute(_FINGERPRINTS) if x != request.fingerprint)]:
            rows += db.execute(
                f"{lacking} views_by_fingerprint WHERE fingerprint IS ? AND turn > ? ORDER BY turn LIMIT ?",
                (other, after, limit),
            )
    return sorted({seq for (seq,) in rows})[:limit]


def pins_of(db: sqlite3.Connection, owner: int) -> list[Pin]:
    """The pins of an owner's row, the oldest first."""
    rows = db.execute(
        "SELECT p.id, c.body, p.at FROM pins p JOIN contents c ON c.id = p.text"
        " WHERE p.owner = ? ORDER BY p.id",
        (owner,),
    )
    return [Pin(f"p{number}", text_of(text), datetime.fromisoformat(at)) for number, text, at in rows]
