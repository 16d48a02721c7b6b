"""Forgetting: finding what is meant, taking it out of the store, and what is left of it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from convmem.abilities import ForgetRequest, Forgets, OwnerRef, Pins
from convmem.direct.export import pages
from convmem.errors import InputError, StoreError
from convmem.protocols import SessionRef, SessionsRequest, TurnsRequest
from convmem.types import ForgetReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.call.shared import Shared
    from convmem.types import Turn

__all__ = ["forget", "residue"]


_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')


_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


_JSON_IN_JSON = 4
"""How often JSON may be quoted in JSON and be read."""


def forget(
    shared: Shared,
    *,
    user: str | None,
    session: str | None,
    turn_ids: Sequence[str] | None,
    text: str | None,
    dry_run: bool,
) -> ForgetReport:
    """Forget an owner's turns: all, a session's, some by id, or those that hold a text."""
    store = shared.store
    if not isinstance(store, Forgets):
        raise StoreError(f"{type(store).__name__} cannot forget")
    if user is None and session is None:
        raise InputError("say whose memory to forget: user=, or session= for a session without a user")
    if turn_ids is not None and text is not None:
        raise InputError("give turn_ids or text, not both")
    if text is not None and not _folded(text):
        raise InputError("the text is empty; it would be found in every turn")
    shared.journal.flush()  # what is on its way is looked at too, and must not arrive after it was forgotten
    owner = OwnerRef(user, session if user is None else None)
    turns = list(_chosen(shared, owner, session, turn_ids, text))
    pins = _chosen_pins(shared, owner, text) if text is not None else () if turn_ids or session else None
    some = turn_ids is not None or text is not None
    seqs = tuple(turn.seq for turn in turns) if some else None
    ids = tuple(turn.id for turn in turns)
    if dry_run:
        if pins is None and not some and isinstance(store, Pins):  # all of them
            pins = tuple(pin.id for pin in store.pins(owner))
        return ForgetReport(user, session, ids, len(pins or ()), 0, dry_run=True)
    with shared.forgetting():
        done = store.forget(ForgetRequest(owner=owner, session=session, seqs=seqs, pins=pins))
    gone = tuple(f"t{seq}" for seq in done.seqs)
    shared.receipts.forget(frozenset(gone))
    return ForgetReport(user, session, gone, done.pins, done.pending, dry_run=False)


def residue(shared: Shared, report: ForgetReport) -> int:
    """How many traces of what was forgotten are left."""
    if report.dry_run or not isinstance(shared.store, Forgets):
        return len(report.turn_ids)
    owner = OwnerRef(report.user, report.session if report.user is None else None)
    return shared.store.residue(owner, [int(id_[1:]) for id_ in report.turn_ids])


def _chosen(
    shared: Shared,
    owner: OwnerRef,
    session: str | None,
    turn_ids: Sequence[str] | None,
    text: str | None,
) -> Iterator[Turn]:
    wanted = None if turn_ids is None else set(turn_ids)
    needle = None if text is None else _folded(text)
    for turn in _owned(shared, owner, session):
        if wanted is not None and turn.id not in wanted:
            continue
        if needle is None or any(needle in _folded(words) for words in _readings(_all_text(turn))):
            yield turn


def _owned(shared: Shared, owner: OwnerRef, session: str | None) -> Iterator[Turn]:
    if session is not None:
        yield from pages(shared.store, TurnsRequest(ref=SessionRef(owner.user, session)))
        return
    for row in shared.store.sessions(SessionsRequest(owner=owner.user)):
        yield from pages(shared.store, TurnsRequest(ref=SessionRef(owner.user, row.name)))


def _all_text(turn: Turn) -> str:
    """Everything in a turn that somebody could mean by its words: its text, its calls, its reasoning."""
    return "\n".join(_strings(turn.payload))


def _readings(text: str) -> Iterator[str]:
    """A text as it stands, and as JSON (tools' arguments and results, be they broken off) means it."""
    yield text
    for _ in range(_JSON_IN_JSON):
        text, found = _ESCAPE.subn(_unescaped, text)
        if not found:
            return
        yield text.encode("utf-16", "surrogatepass").decode(
            "utf-16", "replace"
        )  # of two halves one character


def _unescaped(escape: re.Match[str]) -> str:
    sign = escape[1]
    return chr(int(sign[1:], 16)) if sign[0] == "u" else _ESCAPED.get(sign, sign)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _strings(item)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _strings(item)  # pyright: ignore[reportUnknownArgumentType]


def _chosen_pins(shared: Shared, owner: OwnerRef, text: str) -> tuple[str, ...]:
    if not isinstance(shared.store, Pins):
        return ()
    needle = _folded(text)
    return tuple(pin.id for pin in shared.store.pins(owner) if needle in _folded(pin.text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
