"""What the writer thread does when a reply came: journal it behind what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.errors import JournalError
from convmem.journal.accounts import kept
from convmem.journal.job import Job, NotYetError
from convmem.protocols import CallRow, NewTurn, SessionRef, TurnsRequest, Write
from convmem.wire.identity import ROOT, identity, meaning_digest
from convmem.wire.message import calls_of, encodable, plainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from convmem.journal.begin import BeginJob
    from convmem.journal.forest import Forest
    from convmem.journal.placed import Placement
    from convmem.journal.tree import Tree
    from convmem.protocols import Store, Written
    from convmem.types import Receipt, State
    from convmem.wire.values import Reply

__all__ = ["EndJob", "replied"]


class EndJob(Job[tuple[str, ...]]):
    """Append the reply, settle the turns it answers, and complete the call's row."""

    def __init__(
        self,
        begun: BeginJob,
        reply: Reply,
        *,
        at: datetime,
        error: str | None,
        quoted: Sequence[str],
        written: Callable[[tuple[str, ...], bool], None],
        receipt: Callable[[bool], Receipt] | None = None,
    ) -> None:
        super().__init__()
        self.user = begun.user
        self._begun = begun
        self._tell = written
        self._reply = reply
        self._at = at
        self._error = error
        self._quoted = tuple(int(id_[1:]) for id_ in quoted)
        self._receipt = receipt
        self._withheld = False

    @property
    def ref(self) -> SessionRef | None:
        """The session of its call."""
        return self._begun.ref

    def plan(self, forest: Forest) -> Write | None:
        """Append the choices under the last turn that was sent, unless what they answer was forgotten."""
        if self._begun.dead:
            raise JournalError("the call was not journaled, so its reply cannot be")
        placement = self._begun.placement
        if placement is None:
            if self._begun.finished:
                raise JournalError("the call was never placed, so its reply cannot be")
            raise NotYetError
        if self._begun.call.mode == "read":
            return None
        generation, tree = forest.tree(placement.ref)
        call = self._begun.call
        write = replied(
            forest.store.key,
            tree,
            placement.ref,
            end=self._end(forest.store, tree, placement),
            asked=reversed(placement.alignment.identities),
            reply=self._reply,
            row=CallRow(id=call.id, at=call.at, state=self._reply.state, error=self._error),
            at=self._at,
        )
        moved = forest.redaction(placement.ref) != placement.redaction
        self._withheld = moved and self._voided(forest.store, tree, placement)
        if self._withheld:
            write = _without_words(write, tree)
        elif self._reply.choices:
            forest.ends_with(placement.ref, self._reply.choices[0])
        # The receipt as it is now, because turns of a late begin are in it only now.
        receipt = self._receipt(self._withheld) if self._receipt is not None else None
        new = kept(receipt) if receipt is not None and write.call is not None else None
        # Of what was quoted from other sessions only the redaction tells whether it is still there.
        redaction = forest.redaction(placement.ref)
        return replace(write, expect=generation, redaction=redaction, receipt=new)

    def _end(self, store: Store, tree: Tree, placement: Placement) -> bytes:
        """The turn after which the choices are said; never between a call of tools and its results."""
        sent, end = placement.alignment.end, self._begun.end(tree)
        if end == sent:
            return sent
        request = TurnsRequest(ref=placement.ref, identities=(end,), limit=1)
        return sent if any(calls_of(turn.payload) for turn in store.turns(request)) else end

    def _voided(self, store: Store, tree: Tree, placement: Placement) -> bool:
        """Whether something of what the reply answers was forgotten since the call was placed."""
        gone = {node.identity for node in placement.before if node.forgotten}
        gone |= {turn for turn, seq in placement.seqs.items() if not seq}
        end = placement.alignment.end
        if any(node.forgotten and node.identity not in gone for node in tree.path(end)):
            return True
        request = TurnsRequest(seqs=self._quoted, limit=len(self._quoted) + 1)
        return (end != ROOT and end not in tree) or (
            bool(self._quoted) and len(store.turns(request)) < len(set(self._quoted))
        )

    def plainer(self) -> bool:
        """Of choices that cannot be journaled, their text."""
        given, told = self._reply.choices, tuple(map(plainer, self._reply.choices))
        self._reply = replace(self._reply, choices=told)
        return any(old is not new for old, new in zip(given, told, strict=True))

    def settle(self, written: Written | None) -> tuple[str, ...]:
        """The ids of the reply's turns."""
        ids = written.ids if written is not None and written.ids is not None else ()
        self._tell(ids, self._withheld)
        return ids


def _without_words(write: Write, tree: Tree) -> Write:
    """What a reply changes when its words are not kept: its place, which keeps them out later, and the call.

    Of a session that was forgotten as a whole the call is gone too.
    """
    left = any(not node.forgotten for node in tree.latest_first())
    return replace(
        write,
        turns=(),
        forgotten=tuple((turn.parent, turn.identity) for turn in write.turns if turn.identity not in tree),
        call=replace(write.call, end=None) if write.call is not None and left else None,
    )


def replied(
    key: bytes,
    tree: Tree,
    ref: SessionRef,
    *,
    end: bytes,
    asked: Iterable[bytes],
    reply: Reply,
    row: CallRow,
    at: datetime,
) -> Write:
    """What a reply changes in its session.

    Args:
        key: the store's key.
        tree: what is known of the session.
        ref: the session.
        end: the last turn that was sent: the choices are said after it.
        asked: the turns that may have waited for the reply, from the last backwards.
        reply: what came.
        row: the call it belongs to.
        at: when it came.
    """
    new, known = _choices(key, tree, end, reply, at)
    response_id = reply.response_id or ""
    first = identity(key, end, meaning_digest(key, reply.choices[0])) if reply.choices else None
    call = replace(
        row,
        usage=reply.usage,
        response_id=response_id if response_id and encodable(response_id) else None,
        end=first if reply.complete else None,
    )
    states = () if reply.waiting else _outcomes(tree, asked, "answered" if reply.choices else "failed")
    return Write(ref=ref, turns=new, states=(*states, *known), call=call)


def _choices(
    key: bytes, tree: Tree, end: bytes, reply: Reply, at: datetime
) -> tuple[tuple[NewTurn, ...], tuple[tuple[bytes, State], ...]]:
    """The choices to append, and the states of those that were said there before."""
    new: list[NewTurn] = []
    known: list[tuple[bytes, State]] = []
    for i, payload in enumerate(reply.choices):
        meaning = meaning_digest(key, payload)
        position = identity(key, end, meaning)
        node = tree.get(position)
        if node is not None and not node.forgotten:
            if node.state != "answered":  # a reply that came whole once stays whole
                known.append((position, reply.state))
            continue
        new.append(
            NewTurn(
                identity=position,
                parent=end,
                meaning=meaning,
                payload=payload,
                state=reply.state,
                at=at,
                saying=i if node is None else node.saying + 1 + i,
            )
        )
    return tuple(new), tuple(known)


def _outcomes(tree: Tree, asked: Iterable[bytes], outcome: State) -> tuple[tuple[bytes, State], ...]:
    """The turns that were waiting for a reply, from the last backwards."""
    states: list[tuple[bytes, State]] = []
    for identity_ in asked:
        node = tree.get(identity_)
        if node is None or node.state not in {"pending", "failed"}:
            break
        states.append((identity_, outcome))
    return tuple(states)
