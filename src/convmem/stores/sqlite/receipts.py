"""Keeps receipts in SQLite: rows without words, tied to the turns they name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from convmem.abilities import ReceiptRow
from convmem.protocols import CallRow, QuotedRow, SessionRef
from convmem.stores.sqlite.names import IS_OWNER, SESSION_NAME, USER_NAME

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from convmem.abilities import ReceiptsRequest
    from convmem.protocols import NewReceipt

__all__ = ["CALL_COLUMNS", "call_of", "drop_receipts", "put_receipt", "receipts"]

CALL_COLUMNS = "c.id, c.at, c.state, c.model, c.host, c.usage, c.response_id, c.error"
"""What a query selects for `call_of`."""

_BEGUN = datetime(1970, 1, 1, tzinfo=UTC)
"""The time from which `receipts.at` counts microseconds."""


def call_of(row: Sequence[Any]) -> CallRow:
    """Make a call of a row of `CALL_COLUMNS`."""
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
    db: sqlite3.Connection,
    place: tuple[int, int],
    call: CallRow,
    receipt: NewReceipt,
    journaled: Iterable[int],
) -> None:
    """Keep a receipt in place of the one that is there, inside the transaction that the caller began.

    Args:
        db: the connection.
        place: the rows of the owner and the session.
        call: the call that the receipt is of, which is written already.
        receipt: the receipt.
        journaled: the `seq` of the turns that were written with the receipt.
    """
    owner, session = place
    turns = dict.fromkeys((*receipt.turns, *journaled))
    there = "SELECT 1 FROM turns WHERE seq = ? AND owner = ?"
    if any(db.execute(there, (seq, owner)).fetchone() is None for seq in turns):
        db.execute("DELETE FROM receipts WHERE owner = ? AND call = ?", (owner, call.id))
        return
    (id_,) = db.execute(
        "INSERT INTO receipts (owner, call, session, at, account) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (owner, call) DO UPDATE SET account = excluded.account RETURNING id",
        (owner, call.id, session, _microseconds(call.at), receipt.account),
    ).fetchone()
    db.execute("DELETE FROM receipt_turns WHERE owner = ? AND receipt = ?", (owner, id_))
    named: list[tuple[int, str | None]] = [(seq, None) for seq in turns]
    named += [(quoted.seq, quoted.about) for quoted in receipt.quoted]
    db.executemany(
        "INSERT INTO receipt_turns (owner, receipt, place, turn, about) SELECT ?1, ?2, ?3, ?4, ?5"
        " WHERE EXISTS (SELECT 1 FROM turns WHERE seq = ?4 AND owner = ?1)",
        [(owner, id_, n, seq, about) for n, (seq, about) in enumerate(named)],
    )


def drop_receipts(db: sqlite3.Connection, owner: int, seqs: Sequence[int]) -> None:
    """Delete the receipts of calls that journaled one of these turns, of which there are at most 500."""
    marks = ",".join("?" * len(seqs))
    db.execute(
        "DELETE FROM receipts WHERE owner = ? AND id IN (SELECT receipt FROM receipt_turns"
        f" WHERE owner = ? AND turn IN ({marks}) AND about IS NULL)",
        (owner, owner, *seqs),
    )


def receipts(db: sqlite3.Connection, request: ReceiptsRequest) -> list[ReceiptRow]:
    """Read receipts, the newest first."""
    where, values = ["1"], list[Any]()
    if request.owner is None:
        where.append("o.id < 0")
    elif request.owner is not True:
        where.append(IS_OWNER)
        values += ("user", request.owner)
    if request.session is not None:
        where.append("s.digest = name_digest('session', ?)")
        values.append(request.session)
    if request.call is not None:
        where.append("r.call = ?")
        values.append(request.call)
    if request.since is not None:
        where.append("r.at >= ?")
        values.append(_microseconds(request.since))
    # A call's id is found owner by owner, because every index begins with the owner.
    if request.call is not None:
        tables = "owners o CROSS JOIN receipts r ON r.owner = o.id CROSS JOIN sessions s ON s.id = r.session"
    else:
        tables = (
            "owners o JOIN sessions s ON s.owner = o.id JOIN receipts r"
            " ON r.owner = s.owner AND r.session = s.id"
        )
    # The ids of the page first: sorting whole rows to find the page would read all of them.
    rows = db.execute(
        f"WITH page AS MATERIALIZED (SELECT r.id AS id FROM {tables}"
        f" WHERE {' AND '.join(where)} ORDER BY r.at DESC, r.id DESC LIMIT ?)"
        f" SELECT r.owner, r.id, {USER_NAME}, {SESSION_NAME}, r.account, {CALL_COLUMNS} FROM page"
        " JOIN receipts r ON r.id = page.id JOIN calls c ON c.owner = r.owner AND c.id = r.call"
        " JOIN sessions s ON s.id = r.session JOIN owners o ON o.id = r.owner ORDER BY r.at DESC, r.id DESC",
        (*values, request.limit),
    ).fetchall()
    return [_row(db, row) for row in rows]


def _row(db: sqlite3.Connection, row: tuple[Any, ...]) -> ReceiptRow:
    owner, id_, user, session, account, *call = row
    named = db.execute(
        "SELECT turn, about FROM receipt_turns WHERE owner = ? AND receipt = ? ORDER BY place", (owner, id_)
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
