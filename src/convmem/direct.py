"""The direct API's work: preparing a request without a wrapper, searching, pinning, forgetting."""

from __future__ import annotations

import dataclasses
import re
import reprlib
import time
import unicodedata
import uuid
from typing import TYPE_CHECKING, Literal

from convmem.abilities import Accounts, Calls, CallsRequest, ForgetRequest, Forgets, OwnerRef, Pins
from convmem.composition import Composition
from convmem.cost.ledger import summed
from convmem.errors import InputError, StoreError
from convmem.journal.accounts import receipt_of
from convmem.journal.begin import BeginJob
from convmem.journal.placed import Call
from convmem.portable import pages
from convmem.protocols import SessionRef, SessionsRequest, TurnsRequest
from convmem.recaller import Question
from convmem.scope import UNSET, Unset
from convmem.types import ForgetReport, Hit, Prepared, Receipt
from convmem.wire.chat import rebuilt
from convmem.wire.message import plain, text_of
from convmem.wire.values import ChatRequest, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convmem.abilities import Pin, ReceiptsRequest
    from convmem.engine import Engine
    from convmem.policy import Policy
    from convmem.protocols import CallRow
    from convmem.types import Ledger, Message, Turn

__all__ = ["forget", "ledger", "pin", "pins", "prepare", "receipts", "residue", "search", "unpin"]

_WAIT_FOR_WORDS_S = 5.0

_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_JSON_IN_JSON = 4
"""How often JSON may be quoted in JSON and be read."""


def prepare(
    engine: Engine,
    messages: Sequence[Message],
    *,
    user: str | None,
    session: str | None,
    model: str | None,
    policy: Policy | None,
    budget: int | None,
) -> Prepared:
    """What a wrapped call with these messages would send; nothing is journaled."""
    started = time.perf_counter()
    settings, turns = split(messages)
    if not turns:
        raise InputError("messages has no turn besides the system text; there is nothing to ask")
    call = Call(
        id=uuid.uuid4().hex,
        at=engine.clock(),
        user=user,
        session=session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode="read",
        host=None,
        request=ChatRequest(settings, turns, model=model),
    )
    engine.recaller.indexer.wait(_WAIT_FOR_WORDS_S)
    asked = next((turn for turn in reversed(turns) if turn.get("role") == "user"), None)
    owner = OwnerRef(user) if user is not None else None
    waiting = engine.recaller.ask_soon(text_of(asked) if asked is not None else "", owner)
    placement = engine.run(lambda: BeginJob(call, engine.store, engine.seen, written=lambda _: None))
    placed = time.perf_counter()
    composition = Composition(engine.composer, call, placement, policy or engine.policy, budget=budget)
    composed = composition.run(waiting, patience_s=engine.compressor_s)
    if composed is None:
        composed = composition.recall(waiting.wait())
    receipt = Receipt(
        call=call.id,
        at=call.at,
        user=user,
        session=placement.ref.session,
        mode="read",
        model=model,
        complete=composition.complete,
        ms={"journal": (placed - started) * 1_000, **composed.ms},
        notes=tuple(composed.notes),
        **composed.receipt_fields(),
    )
    # Copies: the caller may change what it is given.
    given = messages
    if composed.messages is not None:
        given = rebuilt({"messages": messages}, composed.messages, dropped=composed.dropped)["messages"]
    return Prepared([plain(message) for message in given], receipt)


def search(
    engine: Engine, query: str, *, user: str | None, session: str | None, top_k: int, budget: int | None
) -> list[Hit]:
    """The best turns for a query, as whole turns."""
    if user is None and session is None:
        raise InputError("say whose memory to search: user=, or session= for a session without a user")
    owner = OwnerRef(user, session if user is None else None)
    engine.recaller.indexer.wait(_WAIT_FOR_WORDS_S)
    vectors, _ = engine.recaller.vectors_of(engine.recaller.ask_soon(query, owner).wait().vectors)
    loaded = engine.recaller.load(owner)
    question = Question(
        owner=owner,
        text=query,
        now=engine.clock().astimezone(engine.composer.tz),
        within=None if session is None else (session,),
        top_k=top_k,
        searching=True,
    )
    ranked = engine.recaller.rank(loaded, question, vectors).hits
    if any(hit.why for hit in ranked):  # what nothing speaks for is not found where something is
        ranked = tuple(hit for hit in ranked if hit.why)
    found = ranked[:top_k]
    turns = engine.recaller.turns(owner, [hit.id for hit in found])
    hits = [Hit(turn=turns[hit.id], score=hit.score, why=hit.why) for hit in found if hit.id in turns]
    if budget is None:
        return hits
    count = engine.ratios.counter(None)
    kept: list[Hit] = []
    for hit in hits:
        budget -= count(hit.turn.text)
        if budget < 0:
            break
        kept.append(hit)
    return kept


def pin(engine: Engine, text: str, *, user: str) -> str:
    """Pin a text."""
    if not isinstance(engine.store, Pins):
        raise StoreError(f"{type(engine.store).__name__} keeps no pins")
    return engine.store.put_pin(OwnerRef(user), text, engine.clock()).id


def unpin(engine: Engine, pin_id: str, *, user: str) -> None:
    """Take a pin away."""
    if not isinstance(engine.store, Pins):
        raise StoreError(f"{type(engine.store).__name__} keeps no pins")
    with engine.forgetting():
        gone = engine.store.drop_pin(OwnerRef(user), pin_id)
    if not gone:
        named = reprlib.repr(pin_id)
        raise InputError(f"user {user!r} has no pin {named}; memory.pins(user=) lists the ids there are")


def pins(engine: Engine, *, user: str) -> list[Pin]:
    """A user's pins."""
    return list(engine.store.pins(OwnerRef(user))) if isinstance(engine.store, Pins) else []


def forget(
    engine: Engine,
    *,
    user: str | None,
    session: str | None,
    turn_ids: Sequence[str] | None,
    text: str | None,
    dry_run: bool,
) -> ForgetReport:
    """Forget an owner's turns: all, a session's, some by id, or those that hold a text."""
    store = engine.store
    if not isinstance(store, Forgets):
        raise StoreError(f"{type(store).__name__} cannot forget")
    if user is None and session is None:
        raise InputError("say whose memory to forget: user=, or session= for a session without a user")
    if turn_ids is not None and text is not None:
        raise InputError("give turn_ids or text, not both")
    if text is not None and not _folded(text):
        raise InputError("the text is empty; it would be found in every turn")
    engine.journal.flush()  # what is on its way is looked at too, and must not arrive after it was forgotten
    owner = OwnerRef(user, session if user is None else None)
    turns = list(_chosen(engine, owner, session, turn_ids, text))
    pins = _chosen_pins(engine, owner, text) if text is not None else () if turn_ids or session else None
    some = turn_ids is not None or text is not None
    seqs = tuple(turn.seq for turn in turns) if some else None
    ids = tuple(turn.id for turn in turns)
    if dry_run:
        if pins is None and not some and isinstance(store, Pins):  # all of them
            pins = tuple(pin.id for pin in store.pins(owner))
        return ForgetReport(user, session, ids, len(pins or ()), 0, dry_run=True)
    with engine.forgetting():
        done = store.forget(ForgetRequest(owner=owner, session=session, seqs=seqs, pins=pins))
    gone = tuple(f"t{seq}" for seq in done.seqs)
    engine.receipts.forget(frozenset(gone))
    return ForgetReport(user, session, gone, done.pins, done.pending, dry_run=False)


def residue(engine: Engine, report: ForgetReport) -> int:
    """How many traces of what was forgotten are left."""
    if report.dry_run or not isinstance(engine.store, Forgets):
        return len(report.turn_ids)
    owner = OwnerRef(report.user, report.session if report.user is None else None)
    return engine.store.residue(owner, [int(id_[1:]) for id_ in report.turn_ids])


def receipts(engine: Engine, request: ReceiptsRequest) -> list[Receipt]:
    """The receipts that the store keeps."""
    if not isinstance(engine.store, Accounts):
        raise StoreError(f"{type(engine.store).__name__} keeps no receipts")
    return [receipt_of(row, engine.prices) for row in engine.store.receipts(request)]


def ledger(engine: Engine, *, user: str | Literal[Unset.UNSET] | None, session: str | None) -> Ledger:
    """What calls cost together."""
    store = engine.store
    if not isinstance(store, Calls):
        raise StoreError(f"{type(store).__name__} does not tell its calls")
    named = (
        SessionRef(row.user, row.name)
        for row in engine.store.sessions(SessionsRequest(owner=True if user is UNSET else user))
        if session is None or row.name == session
    )
    return summed(_calls(store, named), engine.prices)


def _calls(store: Calls, sessions: Iterable[SessionRef]) -> Iterator[CallRow]:
    for ref in sessions:
        request = CallsRequest(ref=ref)
        while page := store.calls(request):
            yield from (call for call in page if call.asked)
            request = dataclasses.replace(request, after=page[-1].id)


def _chosen(
    engine: Engine,
    owner: OwnerRef,
    session: str | None,
    turn_ids: Sequence[str] | None,
    text: str | None,
) -> Iterator[Turn]:
    wanted = None if turn_ids is None else set(turn_ids)
    needle = None if text is None else _folded(text)
    for turn in _owned(engine, owner, session):
        if wanted is not None and turn.id not in wanted:
            continue
        if needle is None or any(needle in _folded(words) for words in _readings(_all_text(turn))):
            yield turn


def _owned(engine: Engine, owner: OwnerRef, session: str | None) -> Iterator[Turn]:
    if session is not None:
        yield from pages(engine.store, TurnsRequest(ref=SessionRef(owner.user, session)))
        return
    for row in engine.store.sessions(SessionsRequest(owner=owner.user)):
        yield from pages(engine.store, TurnsRequest(ref=SessionRef(owner.user, row.name)))


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


def _chosen_pins(engine: Engine, owner: OwnerRef, text: str) -> tuple[str, ...]:
    if not isinstance(engine.store, Pins):
        return ()
    needle = _folded(text)
    return tuple(pin.id for pin in engine.store.pins(owner) if needle in _folded(pin.text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
