"""Forgets turns and pins: finds those that are meant, deletes them, and counts the traces that are left."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from convmem.abilities import ForgetRequest, Forgets, OwnerRef
from convmem.errors import InputError, StoreError
from convmem.journal.forget import ForgetChange, Search
from convmem.types import ForgetReport
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.call.shared import Shared
    from convmem.types import Turn

__all__ = ["forget", "residue"]


_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')
"""One escape in a JSON string."""


_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
"""The characters that one-letter escapes stand for."""


_JSON_IN_JSON = 4
"""Levels of JSON-in-a-string that are unescaped when searching for a text to forget: a tool's result that
quotes JSON has two. With fewer, a text could stay hidden in quoted JSON; each costs a pass over the turn."""

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
    """Forget an owner's turns: all of them, those of a session, some by id, or those that hold a text."""
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
        shared.journal.flush()  # queued writes are searched too
        return _told(shared, request, search, session)
    if search is not None:
        # The long part of the search is done here: on the writer's thread it would hold up all users.
        # The job searches once more what was written meanwhile.
        search.go_on(store)
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
    """Count the traces that are left of what a report says was forgotten."""
    if report.dry_run or not isinstance(shared.store, Forgets):
        return len(report.turn_ids)
    owner = OwnerRef(report.user, report.session if report.user is None else None)
    return shared.store.residue(owner, [int(id_[1:]) for id_ in report.turn_ids])


def _resolved(
    user: str | None, session: str | None, turn_ids: Sequence[str] | None, text: str | None
) -> tuple[ForgetRequest, Search | None]:
    """Turn the arguments into a request to the store, and a search where a text chooses the turns.

    A session without a user is an owner of its own, and the request names it as the owner only. Pins are
    forgotten with the whole owner, or where they hold the text.
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
    """Report what would be forgotten, and forget nothing."""
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
    """Return all strings of a turn in one text: what was said, arguments of calls, reasoning."""
    return "\n".join(_strings(turn.payload))


def _readings(text: str) -> Iterator[str]:
    """Yield a text as it is, then with its JSON escapes undone level by level.

    Tools' arguments and results are JSON in a string. They are not parsed, as they may be broken off.
    """
    yield text
    for _ in range(_JSON_IN_JSON):
        text, found = _ESCAPE.subn(_unescaped, text)
        if not found:
            return
        # Two escaped halves of one character (a surrogate pair) become that character.
        yield text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescaped(escape: re.Match[str]) -> str:
    sign = escape[1]
    return chr(int(sign[1:], 16)) if sign[0] == "u" else _ESCAPED.get(sign, sign)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_object(value):
        for item in value.values():
            yield from _strings(item)
    elif is_array(value):
        for item in value:
            yield from _strings(item)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
