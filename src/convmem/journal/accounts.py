"""Translates a call's receipt to the row that the store keeps of it, and such a row back to a receipt; pure.

`journal.end` and `call.passage` make the row (`kept`) when a call ends; `memory.receipts()` and
`call.refetch` read it back (`receipt_of`). The row has no words of the conversation: no quoted text, no
speaker's name. A note may quote the error of somebody else's code, and such an error may quote the
conversation, so of that error the row has its type alone (`errors.noted`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from convmem.protocols import NewReceipt, QuotedRow
from convmem.types import MODES, Cost, Recalled, Receipt, Tokens
from convmem.wire.message import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convmem.abilities import ReceiptRow
    from convmem.providers.prices import Prices

__all__ = ["kept", "receipt_of"]


_ROLES = frozenset({"user", "assistant", "tool", "function", "system", "developer"})
"""Speakers that a row keeps. Any other speaker is a person's name, which is forgotten with the message."""

_UNREADABLE = "the rest of this receipt cannot be read"

_MS_DIGITS = 1
"""Decimals of a step's milliseconds: a tenth of a millisecond says enough, and more would lengthen the
row."""

_SCORE_DIGITS = 4
"""Decimals of a score between 0 and about 1: enough to tell the order of the turns that a receipt quotes."""


def kept(receipt: Receipt) -> NewReceipt:
    """The row that the store keeps of a receipt, beside the call's own row, which has state and usage."""
    tokens = {f.name: n for f in fields(Tokens) if (n := getattr(receipt.tokens, f.name))}
    cost = receipt.cost
    account: dict[str, Any] = {
        "mode": receipt.mode if receipt.mode != "on" else None,
        "journaled": receipt.journaled,
        "complete": None if receipt.complete else False,
        "restored": receipt.restored or None,
        "dropped": receipt.dropped or None,
        "tokens": tokens or None,
        "cut": receipt.cut or None,
        "media_left": receipt.media_left or None,
        "prefix_tokens": receipt.prefix_tokens,
        "ms": {step: round(ms, _MS_DIGITS) for step, ms in receipt.ms.items()} or None,
        "cost": [cost.cached, cost.uncached, cost.output] if cost is not None else None,
        "notes": [getattr(note, "kept", note) for note in receipt.notes] or None,
    }
    return NewReceipt(
        turns=tuple(int(id_[1:]) for id_ in receipt.turns),
        quoted=tuple(_quoted(turn, receipt.session) for turn in receipt.recalled),
        account=dumps({name: value for name, value in account.items() if value is not None}),
    )


def _quoted(turn: Recalled, session: str | None) -> QuotedRow:
    about = {
        "score": round(turn.score, _SCORE_DIGITS),
        "why": list(turn.why) or None,
        "tokens": turn.tokens,
        "trimmed": turn.trimmed or None,
        "date": turn.date,
        "speaker": turn.speaker if turn.speaker in _ROLES else None,
        "session": turn.session if turn.session != session else None,
    }
    return QuotedRow(int(turn.id[1:]), dumps({k: v for k, v in about.items() if v is not None}))


def receipt_of(row: ReceiptRow, prices: Prices) -> Receipt:
    """The receipt of a kept row; its quoted turns have no text, and a speaker only where that was a role.

    A reply that came after its receipt was kept (a response in the background) left no cost in the row: the
    cost is worked out here, from the call's usage.
    """
    call, said = row.call, _mapping(row.account)
    known: Mapping[str, Any] = said if said is not None else {}
    cost = _cost(known.get("cost"))
    if cost is None and call.usage is not None:
        cost = prices.cost(call.usage, host=call.host, model=call.model, at=call.at)
    mode = known.get("mode")
    return Receipt(
        call=call.id,
        at=call.at,
        user=row.ref.user,
        session=row.ref.session,
        mode=mode if mode in MODES else "on",
        model=call.model,
        host=call.host,
        journaled=known.get("journaled") is True,
        complete=known.get("complete") is not False,
        state=call.state,
        turns=tuple(f"t{seq}" for seq in row.turns),
        restored=_count(known.get("restored")),
        dropped=_count(known.get("dropped")),
        tokens=_tokens(known.get("tokens")),
        recalled=tuple(_recalled(quoted, row.ref.session) for quoted in row.quoted),
        cut=known.get("cut") is True,
        media_left=_count(known.get("media_left")),
        prefix_tokens=prefix if isinstance(prefix := known.get("prefix_tokens"), int) else None,
        ms=_numbers(known.get("ms")),
        usage=call.usage,
        cost=cost,
        notes=(*_texts(known.get("notes")), *([_UNREADABLE] if said is None else [])),
    )


def _recalled(quoted: QuotedRow, session: str) -> Recalled:
    about: Mapping[str, Any] = _mapping(quoted.about) or {}
    score, place = about.get("score"), about.get("session")
    return Recalled(
        id=f"t{quoted.seq}",
        speaker=str(about.get("speaker", "")),
        score=float(score) if isinstance(score, int | float) else 0.0,
        why=tuple(_texts(about.get("why"))),
        tokens=_count(about.get("tokens")),
        text="",
        trimmed=about.get("trimmed") is True,
        session=place if isinstance(place, str) else session,
        date=str(about.get("date", "")),
    )


def _mapping(text: str) -> Mapping[str, Any] | None:
    """The JSON object that a text holds; None when the text holds none."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return None
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: object) -> dict[str, float]:
    given: Mapping[str, object] = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
    return {name: float(n) for name, n in given.items() if isinstance(n, int | float)}


def _tokens(value: object) -> Tokens:
    given = _numbers(value)
    return Tokens(**{f.name: int(given[f.name]) for f in fields(Tokens) if f.name in given})


def _cost(value: object) -> Cost | None:
    parts = [float(n) for n in _items(value) if isinstance(n, int | float)]
    return Cost(cached=parts[0], uncached=parts[1], output=parts[2]) if len(parts) == 3 else None  # noqa: PLR2004 (its three parts)


def _texts(value: object) -> Iterable[str]:
    return (item for item in _items(value) if isinstance(item, str))


def _items(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else ()
