"""Receipts in SQLite: rows without words, tied to the turns they name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from convmem.abilities import ReceiptRow
from convmem.protocols import CallRow, QuotedRow, SessionRef

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from convmem.abilities import ReceiptsRequest
    from convmem.protocols import NewReceipt

__all__ = ["CALL_COLUMNS", "call_of", "drop_receipts", "put_receipt", "receipts"]

CALL_COLUMNS = "c.id, c.at, c.state, c.model, c.host, c.usage, c.response_id, c.error"

_BEGUN = datetime(1970, 1, 1, tzinfo=UTC)


def call_of(row: Sequence[Any]) -> CallRow:
    """A call of a row of `CALL_COLUMNS`."""
    id_, at, state, model, host, usage, response_id, error = row
    return CallRow(
        id=id_,
        at=datetime.fromisoformat(at),
        state=state,
        model=model,
        host=host,
        usage=json.loads(usage) if usage is not None else None,
        response_id=response_id,
        error=error,
    )


def put_receipt(
    db: sqlite3.Connection, session: int, call: CallRow, receipt: NewReceipt, journaled: Iterable[int]
) -> None:
    """Keep a receipt in place of the one that is there, inside the transaction that the caller began.

    Args:
        db: the connection.
        session: the row of the session.
        call: the call it is the receipt of, which is written already.
        receipt: the receipt.
        journaled: the turns that were written with it.
    """
    turns = dict.fromkeys((*receipt.turns, *journaled))
    there = "SELECT 1 FROM turns WHERE seq = ?"
    if any(db.execute(there, (seq,)).fetchone() is None for seq in turns):
        db.execute("DELETE FROM receipts WHERE call = ?", (call.id,))
        return
    (id_,) = db.execute(
        "INSERT INTO receipts (call, session, at, account) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (call) DO UPDATE SET account = excluded.account RETURNING id",
        (call.id, session, _microseconds(call.at), receipt.account),
    ).fetchone()
    db.execute("DELETE FROM receipt_turns WHERE receipt = ?", (id_,))
    named: list[tuple[int, str | None]] = [(seq, None) for seq in turns]
    named += [(quoted.seq, quoted.about) for quoted in receipt.quoted]
    db.executemany(
        "INSERT INTO receipt_turns SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM turns WHERE seq = ?3)",
        [(id_, place, seq, about) for place, (seq, about) in enumerate(named)],
    )


def drop_receipts(db: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Drop the receipts of the calls that journaled one of these turns; a few hundred turns at a time."""
    marks = ",".join("?" * len(seqs))
    db.execute(
        "DELETE FROM receipts WHERE id IN"
        f" (SELECT receipt FROM receipt_turns WHERE turn IN ({marks}) AND about IS NULL)",
        seqs,
    )


def receipts(db: sqlite3.Connection, request: ReceiptsRequest) -> list[ReceiptRow]:
    """Receipts, the newest first."""
    where, values = ["1"], list[Any]()
    if request.owner is None:
        where.append("o.user IS NULL")
    elif request.owner is not True:
        where.append("o.user = ?")
        values.append(request.owner)
    for column, value in (("s.name", request.session), ("r.call", request.call)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if request.since is not None:
        where.append("r.at >= ?")
        values.append(_microseconds(request.since))
    # The page first: what is sorted to find it has no need of the rest of the rows.
    rows = db.execute(
        "WITH page AS MATERIALIZED (SELECT r.id AS id, o.user AS user, s.name AS name"
        " FROM owners o JOIN sessions s ON s.owner = o.id JOIN receipts r ON r.session = s.id"
        f" WHERE {' AND '.join(where)} ORDER BY r.at DESC, r.id DESC LIMIT ?)"
        f" SELECT r.id, page.user, page.name, r.account, {CALL_COLUMNS} FROM page"
        " JOIN receipts r ON r.id = page.id JOIN calls c ON c.id = r.call ORDER BY r.at DESC, r.id DESC",
        (*values, request.limit),
    ).fetchall()
    return [_row(db, row) for row in rows]


def _row(db: sqlite3.Connection, row: tuple[Any, ...]) -> ReceiptRow:
    id_, user, session, account, *call = row
    named = db.execute(
        "SELECT turn, about FROM receipt_turns WHERE receipt = ? ORDER BY place", (id_,)
    ).fetchall()
    return ReceiptRow(
        call=call_of(call),
        ref=SessionRef(user, session),
        turns=tuple(seq for seq, about in named if about is None),
        quoted=tuple(QuotedRow(seq, about) for seq, about in named if about is not None),
        account=account,
    )


def _microseconds(at: datetime) -> int:
    return (at - _BEGUN) // timedelta(microseconds=1)
