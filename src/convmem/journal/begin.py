"""The job that begins a wrapped call in the journal: it places the call's turns and appends the new ones.

`call.exchange` submits a `BeginJob` ahead of the provider call. The writer thread plans it (`plan`), commits
its write with those of other calls, and settles it (`settle`), which gives the call its `Placement`.
`journal.end` appends the reply later, at the place that `BeginJob.end` names. `looked_up` finds a placement
without writing, for a call that the journal cannot take in time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.errors import JournalError
from convmem.journal.align import Alignment, Incoming, align, place
from convmem.journal.digests import Seen
from convmem.journal.find_session import find_held, find_session
from convmem.journal.forest import Forest
from convmem.journal.job import Job
from convmem.journal.placed import Call, Placement
from convmem.protocols import CallRow, NewTurn, SessionRef, Write
from convmem.wire.identity import ROOT
from convmem.wire.message import plainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from convmem.journal.digests import SeenMessages
    from convmem.journal.tree import Tree
    from convmem.protocols import Node, Store, Written
    from convmem.types import Message, State

__all__ = ["BeginJob", "looked_up"]


class BeginJob(Job[Placement]):
    """Aligns the incoming turns of a call with a session and appends the new ones as pending.

    Args:
        call: the call; with mode `read` its turns are placed and nothing is written.
        store: holds the journal.
        seen: digests of messages seen lately.
        written: told of the placement, on the writer thread, when the write is committed.
    """

    def __init__(
        self, call: Call, store: Store, seen: SeenMessages, *, written: Callable[[Placement], None]
    ) -> None:
        super().__init__()
        self.call = call
        self.user = call.user
        self._tell = written
        self.placement: Placement | None = None
        self.dead = False
        self._store = store
        self._seen = seen
        self._turns = call.request.turns
        self._own: tuple[Seen, ...] = ()
        self._found: SessionRef | None = None
        self._aligned: tuple[SessionRef, Tree, Alignment] | None = None
        self._new: tuple[NewTurn, ...] = ()
        self._known = True
        self._redaction = 0
        self._settled_before: frozenset[bytes] = frozenset()
        self._awaited = False

    @property
    def ref(self) -> SessionRef | None:
        """The session of the call: named by the caller or found by its history; None until it was found."""
        if self.placement is not None:
            return self.placement.ref
        if self.call.session is not None:
            return SessionRef(self.call.user, self.call.session)
        return None

    def plan(self, forest: Forest) -> Write | None:
        """Finds the session and the place of the turns; returns the write of those that the session lacks."""
        call, key = self.call, self._store.key
        turns = self._turns
        now = call.mode == "read"  # then nothing is written that the store could refuse
        self._own = self._own or tuple(map(self._seen.of, turns))
        incoming = [seen.incoming for seen in self._own]
        if call.request.held is not None:
            ref, generation, tree, where = self._continued(forest, incoming, now=now)
        else:
            if call.session is not None:
                ref = SessionRef(call.user, call.session)
            else:
                self._found = self._found or find_session(forest, key, call.user, incoming, turns)
                ref = self._found or SessionRef(call.user, call.fresh_session)
            generation, tree = forest.tree(ref, now=now)
            where = align(key, tree, incoming, likeness=forest.likeness(ref, turns))
        self._aligned = ref, tree, where
        self._redaction = forest.redaction(ref)
        if call.mode == "read":
            return None
        new = _new_turns(where, tree, incoming, turns, call.at)
        self._new = new
        row = CallRow(
            id=call.id,
            at=call.at,
            state="pending",
            model=call.request.model,
            host=call.host,
            settings=call.request.settings,
            end=where.end,
        )
        return Write(
            ref=ref,
            expect=generation,
            redaction=self._redaction,
            turns=new,
            states=_states(where, tree, turns),
            call=row,
        )

    def _continued(
        self, forest: Forest, incoming: Sequence[Incoming], *, now: bool
    ) -> tuple[SessionRef, int, Tree, Alignment]:
        """Place a call whose history the provider keeps: after the turn it continues, or in a new session."""
        call, held = self.call, self.call.request.held
        found = find_held(forest, call.user, call.session, held) if held is not None else None
        self._known = found is not None or call.fresh_conversation
        if found is not None:
            ref, base = found
        else:
            name = call.session or (held.conversation if held is not None else None) or call.fresh_session
            ref, base = SessionRef(call.user, name), None
        generation, tree = forest.tree(ref, now=now)
        if base is None:
            head = tree.head()
            base = head.identity if head is not None else ROOT
        return ref, generation, tree, place(self._store.key, tree, base, incoming)

    def settle(self, written: Written | None) -> Placement:
        """Makes the call's placement from what was planned and the ids that its new turns were given."""
        if self._aligned is None:
            raise JournalError("a call was settled before it was aligned")
        ref, tree, where = self._aligned
        ids = written.ids if written is not None and written.ids is not None else ()
        seqs = tree.seqs(where.identities)
        # What this call brought may be indexed before it is composed, and is no memory of anything older.
        seqs |= {turn.identity: int(id_[1:]) for turn, id_ in zip(self._new, ids, strict=False)}
        before = tuple(tree.path(where.base))
        self._settled_before = frozenset(
            child.identity for child in tree.children(where.end) if child.settled
        )
        self._awaited = any(node.state == "pending" for node in before)
        self.placement = Placement(
            ref,
            where,
            ids,
            before,
            self._own,
            seqs,
            known=self._known,
            redaction=self._redaction,
            sealed=where.hidden and self.call.user is None and self.call.session is None,
        )
        self._tell(self.placement)
        return self.placement

    def end(self, tree: Tree) -> bytes:
        """The identity of the turn after which the reply goes: the last turn sent, or a later one.

        Somebody who writes three messages in a row is answered three times, in any order. Each message came
        after the one before it, so each answer comes after all that stands there by then; else the branch of
        the last answer would be the conversation, and leave the other messages out.
        """
        if self.placement is None:
            return ROOT
        end = self.placement.alignment.end
        later = [child for child in tree.children(end) if self._came_meanwhile(child)]
        node = later[-1] if later else None
        while node is not None:
            end = node.identity
            node = next((c for c in reversed(tree.children(end)) if not c.forgotten), None)
        return end

    def _came_meanwhile(self, child: Node) -> bool:
        """Whether a turn after the last one sent is the next message, or the late answer to an earlier one.

        An answer to the same message, by a call made twice at a time, is neither: the two are choices.
        """
        if child.forgotten or child.identity in self._settled_before:
            return False
        late = child.role == "assistant" and child.state == "answered" and self._awaited
        return child.role == "user" or late

    def lost(self) -> None:
        """Marks the call as never to be journaled, so that the job of its reply fails too."""
        self.dead = True

    def plainer(self) -> bool:
        """Replaces messages that cannot be journaled by their text; what is sent stays the caller's.

        Returns:
            Whether a message changed, so that trying again makes sense.
        """
        given, self._turns = self._turns, tuple(map(plainer, self._turns))
        self._own = tuple(
            Seen(message, self._store.key, self._seen.of(told).incoming)
            for message, told in zip(self.call.request.turns, self._turns, strict=True)
        )
        return any(old is not new for old, new in zip(given, self._turns, strict=True))


def looked_up(call: Call, store: Store, seen: SeenMessages) -> Placement:
    """Finds the place of a call in what is committed, without the writer thread; nothing is journaled.

    Raises:
        StoreError: the store cannot be read.
    """
    job = BeginJob(replace(call, mode="read"), store, seen, written=lambda _: None)
    job.plan(Forest(store))
    return job.settle(None)


def _new_turns(
    place: Alignment, tree: Tree, incoming: Sequence[Incoming], turns: Sequence[Message], at: datetime
) -> tuple[NewTurn, ...]:
    """The turns to append: those up to the last assistant turn as answered, the rest as pending."""
    bare = not any(turn.role == "assistant" for turn in incoming)
    answered = _answered(turns)
    new: list[NewTurn] = []
    for i in range(0 if bare else place.known, len(place.identities)):
        identity_ = place.identities[i]
        known = tree.get(identity_)
        if known is not None and not (known.forgotten and bare):
            continue
        new.append(
            NewTurn(
                identity=identity_,
                parent=place.identities[i - 1] if i else place.base,
                meaning=incoming[i].meaning,
                payload=turns[i],
                state="answered" if i < answered else "pending",
                at=at,
                # Said again where something was forgotten, by an app that sends no old history: a new saying.
                saying=known.saying + 1 if known is not None else 0,
            )
        )
    return tuple(new)


def _states(place: Alignment, tree: Tree, turns: Sequence[Message]) -> tuple[tuple[bytes, State], ...]:
    """The new states of known turns: answered where the history shows a reply, pending where sent again."""
    waiting = tree.waiting
    if not waiting:
        return ()
    answered = _answered(turns)
    states: list[tuple[bytes, State]] = []
    for i, identity_ in enumerate(place.identities[: place.known]):
        if identity_ in waiting:
            state: State = "answered" if i < answered else "pending"
            if waiting[identity_] != state:
                states.append((identity_, state))
    return tuple(states)


def _answered(turns: Sequence[Message]) -> int:
    """How many of the turns, counted from the first, had their answer: all up to the last assistant turn."""
    last = (i for i in range(len(turns) - 1, -1, -1) if turns[i].get("role") == "assistant")
    return next(last, -1) + 1
