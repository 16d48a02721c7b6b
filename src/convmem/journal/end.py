"""The job that ends a wrapped call in the journal: it appends the reply after the turn that it answers.

`call.exchange` submits an `EndJob` when the reply came, or when the call failed. The job waits until the
`BeginJob` of its call is written. `replied` makes the write; `call.refetch` uses it too, for a response that
is asked for again.
"""

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
    """Appends the reply, settles the turns that it answers, and completes the call's row and receipt.

    Args:
        begun: the job that began the call.
        reply: what the provider said, be it nothing.
        at: when the reply came.
        error: the type of the error that ended the call; None when none did.
        quoted: ids of the turns that were quoted in the request.
        written: told, on the writer thread, of the ids of the reply's turns, and whether the reply was
            withheld.
        receipt: gives the receipt to keep, told whether the reply is withheld; None keeps none.
    """

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
        """The session of the call that the reply belongs to."""
        return self._begun.ref

    def plan(self, forest: Forest) -> Write | None:
        """The write of the reply's choices after what they answer; without words if that was forgotten."""
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
        # Only now, with the BeginJob written: else the receipt of a call that was journaled late lacks its
        # turns.
        receipt = self._receipt(self._withheld) if self._receipt is not None else None
        new = kept(receipt) if receipt is not None and write.call is not None else None
        # The store refuses the write if anything of the owner is forgotten after this number: the turns
        # quoted from other sessions stand in no tree that would tell.
        redaction = forest.redaction(placement.ref)
        return replace(write, expect=generation, redaction=redaction, receipt=new)

    def _end(self, store: Store, tree: Tree, placement: Placement) -> bytes:
        """The turn after which the choices go; never between a call of tools and its results."""
        sent, end = placement.alignment.end, self._begun.end(tree)
        if end == sent:
            return sent
        request = TurnsRequest(ref=placement.ref, identities=(end,), limit=1)
        return sent if any(calls_of(turn.payload) for turn in store.turns(request)) else end

    def _voided(self, store: Store, tree: Tree, placement: Placement) -> bool:
        """Whether a turn that the reply answers, or a quoted one, was forgotten since the call was placed."""
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
        """Replaces choices that cannot be journaled by their text; whether one changed."""
        given, told = self._reply.choices, tuple(map(plainer, self._reply.choices))
        self._reply = replace(self._reply, choices=told)
        return any(old is not new for old, new in zip(given, told, strict=True))

    def settle(self, written: Written | None) -> tuple[str, ...]:
        """Tells whoever made the job of the ids of the reply's turns, and returns them."""
        ids = written.ids if written is not None and written.ids is not None else ()
        self._tell(ids, self._withheld)
        return ids


def _without_words(write: Write, tree: Tree) -> Write:
    """The write of a reply whose words are not kept: tombstones at its place, and the call's row.

    The tombstones keep the reply out when the app sends it back as history. Of a session that was forgotten
    as a whole the call's row is gone too, and is not written again.
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
    """The write of a reply: its choices as turns, the states of what it answers, and the call's row.

    Args:
        key: the store's key.
        tree: the turns of the session.
        ref: the session.
        end: the identity of the turn after which the choices go.
        asked: identities of the turns that may have waited for the reply, from the last backwards.
        reply: what the provider said.
        row: the row of the call that the reply belongs to.
        at: when the reply came.
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
    """The choices to append as new turns, and new states of choices that stand there already."""
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
    """The new state of each turn that waited for the reply, from the last one backwards."""
    states: list[tuple[bytes, State]] = []
    for identity_ in asked:
        node = tree.get(identity_)
        if node is None or node.state not in {"pending", "failed"}:
            break
        states.append((identity_, outcome))
    return tuple(states)
