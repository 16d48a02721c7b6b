"""Forgetting: finding what is meant, taking it out of the store, and what is left of it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from convmem.abilities import ForgetRequest, Forgets, OwnerRef
from convmem.errors import InputError, StoreError
from convmem.journal.forget import ForgetChange, Search
from convmem.types import ForgetReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.call.shared import Shared
    from convmem.types import Turn

__all__ = ["forget", "residue"]


_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')


_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


_JSON_IN_JSON = 4
"""Levels of JSON in a string of JSON that are unescaped when a text to forget is looked for."""

_LAST_SEQ = 2**63 - 1
"""The greatest `seq` there can be: stores keep it in 64 bits."""


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
    request, search = _resolved(user, session, turn_ids, text)
    if dry_run:
        shared.journal.flush()  # what is on its way is looked at too
        return _told(shared, request, search, session)
    if search is not None:
        search.go_on(store)  # here, because a long look on the writer thread would keep other users' calls
    tries: list[ForgetChange] = []

    def change() -> ForgetChange:
        tries.append(ForgetChange(request, search))
        return tries[-1]

    try:
        with shared.forgetting():
            done = shared.run(change)
        gone = tuple(f"t{seq}" for seq in done.seqs)
        shared.receipts.forget(frozenset(gone))
    finally:
        for change_tried in tries:
            change_tried.let_go()
    return ForgetReport(user, session, gone, done.pins, done.pending, dry_run=False)


def residue(shared: Shared, report: ForgetReport) -> int:
    """How many traces of what was forgotten are left."""
    if report.dry_run or not isinstance(shared.store, Forgets):
        return len(report.turn_ids)
    owner = OwnerRef(report.user, report.session if report.user is None else None)
    return shared.store.residue(owner, [int(id_[1:]) for id_ in report.turn_ids])


def _resolved(
    user: str | None, session: str | None, turn_ids: Sequence[str] | None, text: str | None
) -> tuple[ForgetRequest, Search | None]:
    """What is meant, once and for all: a request, and what finds the turns where words choose them.

    A session without a user is an owner of its own, and the request names it as such alone. Pins go with the
    whole owner, or by their words.
    """
    owner = OwnerRef(user, session if user is None else None)
    within = session if user is not None else None
    if turn_ids is not None:
        seqs = {f"t{seq}": seq for id_ in turn_ids if (seq := int(id_[1:])) <= _LAST_SEQ}
        wanted = tuple(seqs[id_] for id_ in turn_ids if id_ in seqs)  # "t07" is the id of no turn
        return ForgetRequest(owner=owner, session=within, seqs=wanted, pins=()), None
    if text is None:
        return ForgetRequest(owner=owner, session=within, pins=() if session is not None else None), None
    needle = _folded(text)
    search = Search(
        owner,
        within,
        turn=lambda turn: any(needle in _folded(words) for words in _readings(_all_text(turn))),
        pin=lambda pin: needle in _folded(pin.text),
    )
    return ForgetRequest(owner=owner, session=within, seqs=(), pins=()), search


def _told(shared: Shared, request: ForgetRequest, search: Search | None, session: str | None) -> ForgetReport:
    """What would be forgotten."""
    store = shared.store
    if search is None:
        wanted = None if request.seqs is None else frozenset(request.seqs)
        search = Search(
            request.owner,
            request.session,
            turn=lambda turn: wanted is None or turn.seq in wanted,
            pin=lambda _: request.pins is None,
        )
    search.go_on(store)
    ids = tuple(f"t{seq}" for seq in search.found)
    return ForgetReport(request.owner.user, session, ids, len(search.pins(store)), 0, dry_run=True)


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


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
