"""What the writer thread does for a wrapped call: place and journal its turns, then its reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from convmem.accounts import kept
from convmem.errors import JournalError
from convmem.find import find_held, find_session
from convmem.journal import Forest, Job, NotYetError
from convmem.protocols import CallRow, NewTurn, SessionRef, TurnsRequest, Write
from convmem.seen import Seen
from convmem.session.align import Alignment, Incoming, align, place
from convmem.wire.identity import ROOT, identity, meaning_digest
from convmem.wire.message import calls_of, encodable, plainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from convmem.protocols import Store, Written
    from convmem.seen import SeenMessages
    from convmem.session.tree import Node, Tree
    from convmem.types import Message, Mode, Receipt, State
    from convmem.wire.values import ChatRequest, Reply

__all__ = ["BeginJob", "Call", "EndJob", "Placement", "looked_up", "replied"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before anything is done.

    Attributes:
        id: unique.
        at: when it was made.
        user: the owner of the memory, or None.
        session: the session named by the caller, or None.
        fresh_session: the name of the session when the call begins a new one.
        mode: what memory may do.
        host: where it goes.
        request: what it asks.
        fresh_conversation: the conversation that the provider keeps for it is known to begin with it.
    """

    id: str
    at: datetime
    user: str | None
    session: str | None
    fresh_session: str
    mode: Mode
    host: str | None
    request: ChatRequest
    fresh_conversation: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a call stands in the journal.

    Attributes:
        ref: its session.
        alignment: the place of its turns.
        ids: the ids of the turns it added.
        before: the turns that lead to its first one, oldest first: the history it did not send.
        own: its own turns.
        seqs: of those of its own turns that are journaled, by identity.
        known: False when the provider keeps a history that the journal does not know.
        redaction: the owner's, before anything of the conversation was read.
        sealed: nobody named the user or the session, and the journal has words of these turns that the caller
            did not send: nothing may be added to the call.
    """

    ref: SessionRef
    alignment: Alignment
    ids: tuple[str, ...]
    before: tuple[Node, ...]
    own: tuple[Seen, ...]
    seqs: Mapping[bytes, int]
    known: bool = True
    redaction: int = 0
    sealed: bool = False


class BeginJob(Job[Placement]):
    """Align the incoming turns and append the new ones as pending."""

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
        """The session named, found, or begun; None while it has to be looked for."""
        if self.placement is not None:
            return self.placement.ref
        if self.call.session is not None:
            return SessionRef(self.call.user, self.call.session)
        return None

    def plan(self, forest: Forest) -> Write | None:
        """Append what the session does not know."""
        call, key = self.call, self._store.key
        turns = self._turns
        self._own = self._own or tuple(map(self._seen.of, turns))
        incoming = [seen.incoming for seen in self._own]
        if call.request.held is not None:
            ref, generation, tree, where = self._continued(forest, incoming)
        else:
            if call.session is not None:
                ref = SessionRef(call.user, call.session)
            else:
                self._found = self._found or find_session(forest, key, call.user, incoming, turns)
                ref = self._found or SessionRef(call.user, call.fresh_session)
            generation, tree = forest.tree(ref)
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
        return Write(ref=ref, expect=generation, turns=new, states=_states(where, tree, turns), call=row)

    def _continued(
        self, forest: Forest, incoming: Sequence[Incoming]
    ) -> tuple[SessionRef, int, Tree, Alignment]:
        """The place of a call whose history the provider keeps: after what it continues, or a new session."""
        call, held = self.call, self.call.request.held
        found = find_held(forest, call.user, call.session, held) if held is not None else None
        self._known = found is not None or call.fresh_conversation
        if found is not None:
            ref, base = found
        else:
            name = call.session or (held.conversation if held is not None else None) or call.fresh_session
            ref, base = SessionRef(call.user, name), None
        generation, tree = forest.tree(ref)
        if base is None:
            head = tree.head()
            base = head.identity if head is not None else ROOT
        return ref, generation, tree, place(self._store.key, tree, base, incoming)

    def settle(self, written: Written | None) -> Placement:
        """The call is journaled."""
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
        """The turn after which the reply is said: the last one sent, or what was said while it was awaited.

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
        """The call will never be journaled, so neither will its reply."""
        self.dead = True

    def plainer(self) -> bool:
        """Of messages that cannot be journaled, their text; what is sent stays the caller's."""
        given, self._turns = self._turns, tuple(map(plainer, self._turns))
        self._own = tuple(
            Seen(message, self._store.key, self._seen.of(told).incoming)
            for message, told in zip(self.call.request.turns, self._turns, strict=True)
        )
        return any(old is not new for old, new in zip(given, self._turns, strict=True))


def looked_up(call: Call, store: Store, seen: SeenMessages) -> Placement:
    """Where a call stands in what is committed, found without the writer thread; nothing is journaled.

    Raises:
        StoreError: the store cannot be read.
    """
    job = BeginJob(replace(call, mode="read"), store, seen, written=lambda _: None)
    job.plan(Forest(store))
    return job.settle(None)


def _new_turns(
    place: Alignment, tree: Tree, incoming: Sequence[Incoming], turns: Sequence[Message], at: datetime
) -> tuple[NewTurn, ...]:
    """The turns to append: what follows the last reply awaits its own."""
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
    """Known turns whose state changes: unanswered ones that history shows answered, and retried ones."""
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
    """How many of the turns, from the first, had their answer: all up to the last assistant turn."""
    last = (i for i in range(len(turns) - 1, -1, -1) if turns[i].get("role") == "assistant")
    return next(last, -1) + 1


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
        return replace(write, expect=generation, receipt=new)

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
