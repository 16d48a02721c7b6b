"""What all parts of the kit share: the store to test, turns to write, and checks that say what they saw."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from convmem.protocols import NewTurn, NodesRequest, SessionRef, TurnsRequest, Write
from convmem.wire.identity import DIGEST_BYTES, ROOT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from convmem.protocols import CallRow, Node, Store, Written
    from convmem.types import Message, State, Turn

__all__ = [
    "ALICE",
    "BOB",
    "NOBODY",
    "NOON",
    "StoreTests",
    "add",
    "check",
    "contents",
    "digest",
    "ids_of",
    "line",
    "nodes",
    "said",
    "same",
    "turns",
    "verbatim",
]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

ALICE = SessionRef("alice", "kyoto")
BOB = SessionRef("bob", "kyoto")
NOBODY = SessionRef(None, "kyoto")
"""Three owners whose sessions have one name."""


class StoreTests(ABC):
    """The store that the parts of the kit test."""

    @abstractmethod
    def make_store(self) -> Store:
        """A new, empty store. The kit closes it."""

    def reopen(self, store: Store) -> Store | None:
        """Close a store and open another on the same data; None when it keeps nothing."""
        del store
        return None

    def read_call(self, store: Store, call: str) -> CallRow | None:
        """What the store keeps of a call, for the kit to look at; None when there is no way to read it."""
        del store, call
        return None

    @contextmanager
    def opened(self) -> Generator[Store]:
        """A new store, closed at the end."""
        store = self.make_store()
        try:
            yield store
        finally:
            store.close()


def check(condition: bool, message: str) -> None:  # noqa: FBT001 (reads as an assertion)
    """Fail with a message, also under `python -O` and without pytest's rewriting."""
    if not condition:
        raise AssertionError(message)


def same(got: object, expected: object, what: str) -> None:
    """Fail unless both are equal, and show them."""
    if got != expected:
        raise AssertionError(f"{what}: got {_short(got)}, not {_short(expected)}")


def verbatim(got: Message, expected: Message, what: str) -> None:
    """Fail unless two messages are the same JSON: types, order of keys and all."""
    same(json.dumps(got), json.dumps(expected), what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:300]} … {text[-300:]}"  # noqa: PLR2004 (fits a screen)


def digest(*parts: object) -> bytes:
    """Bytes as opaque to a store as its real digests."""
    return hashlib.sha256(repr(parts).encode()).digest()[:DIGEST_BYTES]


def said(
    content: object,
    *,
    after: NewTurn | None = None,
    state: State = "answered",
    at: datetime = NOON,
    saying: int = 0,
    **fields: Any,  # noqa: ANN401 (whatever a message may have)
) -> NewTurn:
    """A turn to write, said after another or at the start of a conversation."""
    payload: Message = {"role": "user", "content": content, **fields}
    parent = after.identity if after is not None else ROOT
    meaning = digest(payload)
    return NewTurn(
        identity=digest(parent, meaning),
        parent=parent,
        meaning=meaning,
        payload=payload,
        state=state,
        at=at,
        saying=saying,
    )


def line(*contents: object, after: NewTurn | None = None) -> list[NewTurn]:
    """Turns said one after the other."""
    turns: list[NewTurn] = []
    for content in contents:
        after = said(content, after=after)
        turns.append(after)
    return turns


def add(
    store: Store,
    ref: SessionRef,
    *turns: NewTurn,
    expect: int | None = None,
    states: Sequence[tuple[bytes, State]] = (),
    call: CallRow | None = None,
) -> Written:
    """One write on its own."""
    write = Write(ref=ref, expect=expect, turns=turns, states=tuple(states), call=call)
    (written,) = store.write([write])
    return written


def ids_of(written: Written) -> tuple[str, ...]:
    """The ids of a write that was to be carried out."""
    if written.ids is None:
        raise AssertionError(f"nothing was written: the session is at generation {written.generation}")
    return tuple(written.ids)


def nodes(store: Store, ref: SessionRef, since: int = 0) -> list[Node]:
    """The nodes of a session."""
    return list(store.nodes(NodesRequest(ref, since)).nodes)


def turns(store: Store, ref: SessionRef) -> list[Turn]:
    """The turns of a session."""
    return list(store.turns(TurnsRequest(ref=ref)))


def contents(store: Store, ref: SessionRef) -> list[object]:
    """What was said in a session."""
    return [turn.payload["content"] for turn in turns(store, ref)]
