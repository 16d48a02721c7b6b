"""Forgetting: the turns that were asked for and nothing else, with tombstones in their places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import ForgetRequest, Forgotten
from convmem.journal.tree import Tree
from convmem.protocols import (
    FindRequest,
    Node,
    NodesRequest,
    SessionRef,
    SessionsRequest,
    TurnsRequest,
    Write,
)
from convmem.testing._abilities.base import OSAKA, forgetful, owner_of, seqs
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    StoreTests,
    add,
    check,
    contents,
    ids_of,
    line,
    nodes,
    said,
    same,
    turns,
)

if TYPE_CHECKING:
    from convmem.protocols import NewTurn, Store

__all__ = ["Forgetting", "forget"]


def forget(
    store: Store,
    ref: SessionRef,
    *gone: int,
    everything: bool = False,
    pins: tuple[str, ...] | None = None,
) -> Forgotten:
    """Forget turns of a session; without any the whole session, or with `everything` the whole owner."""
    session = None if everything else ref.session
    request = ForgetRequest(owner=owner_of(ref), session=session, seqs=gone or None, pins=pins)
    return forgetful(store).forget(request)


def _grave(turn: NewTurn) -> Node:
    return Node(0, turn.identity, turn.parent, b"", "", None, turn.saying)


class Forgetting(StoreTests):
    """What `forget` does to turns, nodes and counters."""

    def test_forgetting_some_turns(self) -> None:
        """They are gone wherever turns are read; their places are left."""
        with self.opened() as store:
            a, b, c, d = line("a", "b", "c", "d")
            add(store, ALICE, a, b, c, d)
            _, seq_b, _, seq_d = seqs(store, ALICE)
            done = forget(store, ALICE, seq_d, seq_b, seq_b)
            same((sorted(done.seqs), done.pins, done.pending), ([seq_b, seq_d], 0, 0), "what was forgotten")
            same(contents(store, ALICE), ["a", "c"], "turns after two were forgotten")
            same(list(store.turns(TurnsRequest(seqs=(seq_b, seq_d)))), [], "the forgotten turns")
            same(list(store.turns(TurnsRequest(ref=ALICE, identities=(b.identity,)))), [], "one of them")
            found = nodes(store, ALICE)
            same(
                {n.identity: n for n in found if n.forgotten},
                {t.identity: _grave(t) for t in (b, d)},
                "graves",
            )
            same([n.identity for n in found if not n.forgotten], [a.identity, c.identity], "nodes left")
            same((store.stats().turns, store.stats().sessions), (2, 1), "turns and sessions counted")
            same([s.turns for s in store.sessions(SessionsRequest())], [2], "turns of the session")
            same(forgetful(store).residue(owner_of(ALICE), done.seqs), 0, "what is left of them")

    def test_what_follows_a_forgotten_turn(self) -> None:
        """It stays in its branch, which leads through the tombstone, but has no parent to show."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            add(store, ALICE, a, b, c)
            forget(store, ALICE, seqs(store, ALICE)[1])
            first, last = turns(store, ALICE)
            same((first.parent, last.parent), (None, None), "parents beside a forgotten turn")
            path = Tree(nodes(store, ALICE)).path(c.identity)
            same(
                [node.identity for node in path], [a.identity, b.identity, c.identity], "the way to the last"
            )
            same([node.forgotten for node in path], [False, True, False], "which of them is forgotten")
            add(store, ALICE, said("d", after=b))
            same(turns(store, ALICE)[-1].parent, None, "the parent of a turn said after a forgotten one")

    def test_a_place_that_is_kept_as_forgotten(self) -> None:
        """By a write, without words: it is a tombstone like those that `forget` leaves; one is enough."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            for _ in range(2):
                store.write([Write(ref=ALICE, turns=(a, c), forgotten=((b.parent, b.identity),))])
            found = nodes(store, ALICE)
            same([n for n in found if n.forgotten], [_grave(b)], "graves")
            path = Tree(found).path(c.identity)
            same([node.identity for node in path], [a.identity, b.identity, c.identity], "the way over it")
            same(contents(store, ALICE), ["a", "c"], "turns beside it")

    def test_one_of_several_sayings(self) -> None:
        """The others stay, and are the parent of what follows."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            second = replace(b, saying=1, payload={"role": "user", "content": "B"})
            add(store, ALICE, a, b, second, c)
            _, seq_b, seq_second, _ = seqs(store, ALICE)
            forget(store, ALICE, seq_b)
            same(contents(store, ALICE), ["a", "B", "c"], "turns after one saying was forgotten")
            same(turns(store, ALICE)[-1].parent, f"t{seq_second}", "the parent of what follows")
            forget(store, ALICE, seq_second)
            graves = sorted(node.saying for node in nodes(store, ALICE) if node.forgotten)
            same(graves, [0, 1], "sayings of the graves")

    def test_counters_after_forgetting(self) -> None:
        """Generation and redaction of the owner rise, and a session that lost turns is another one."""
        with self.opened() as store:
            a, b = line("a", "b")
            for ref in (ALICE, OSAKA, BOB):
                add(store, ref, a, b)
            before = {ref: store.nodes(NodesRequest(ref)) for ref in (ALICE, OSAKA, BOB)}
            forget(store, ALICE, seqs(store, ALICE)[1])
            after = {ref: store.nodes(NodesRequest(ref, before[ref].generation)) for ref in before}
            check(after[ALICE].generation > before[ALICE].generation, "the session's generation did not rise")
            same(list(after[ALICE].nodes), [_grave(b)], "what changed in the session")
            same([*after[OSAKA].nodes, *after[BOB].nodes], [], "what changed in others")
            for ref in (ALICE, OSAKA):
                check(
                    after[ref].redaction > before[ref].redaction, f"{ref}: redaction {after[ref].redaction}"
                )
            same(after[BOB].redaction, before[BOB].redaction, "the redaction of another owner")
            stale = add(store, ALICE, said("c"), expect=before[ALICE].generation)
            same(stale.ids, None, "ids of a write decided on before something was forgotten")
            check(
                add(store, OSAKA, said("c"), expect=before[OSAKA].generation).ids is not None, "was refused"
            )
            check(add(store, ALICE).generation > after[ALICE].generation, "a write went back behind it")

    def test_a_write_decided_on_before_forgetting(self) -> None:
        """It may repeat what was forgotten in another session: nothing is written, and the answer says so."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            for ref in (ALICE, OSAKA, BOB):
                add(store, ref, a)
            before = {ref: store.nodes(NodesRequest(ref)) for ref in (ALICE, OSAKA, BOB)}
            first = Write(ref=ALICE, redaction=before[ALICE].redaction, turns=(b,))
            check(store.write([first])[0].ids is not None, "a write was refused though nothing was forgotten")
            forget(store, ALICE, seqs(store, ALICE)[0])
            for ref in (OSAKA, BOB):
                reply = before[ref]
                write = Write(ref=ref, expect=reply.generation, redaction=reply.redaction, turns=(c,))
                (written,) = store.write([write])
                same(written.ids is None, ref == OSAKA, f"whether the write to {ref} was refused")
            same(contents(store, OSAKA), ["a"], "turns after a write that was refused")
            now = Write(ref=OSAKA, redaction=store.nodes(NodesRequest(OSAKA)).redaction, turns=(c,))
            check(store.write([now])[0].ids is not None, "a write was refused that knows what was forgotten")
            new = SessionRef(ALICE.user, "new")
            (written,) = store.write([Write(ref=new, redaction=before[ALICE].redaction, turns=(a,))])
            same(written.ids, None, "ids of such a write to a session that is new")

    def test_forgetting_a_session(self) -> None:
        """All its turns; the user's other sessions, and sessions of its name, stay."""
        with self.opened() as store:
            many = line("a", "b", "c")
            for ref in (ALICE, OSAKA, BOB, NOBODY):
                add(store, ref, *many)
            every = seqs(store, ALICE)
            same(sorted(forget(store, ALICE).seqs), every, "turns of a forgotten session")
            same(contents(store, ALICE), [], "turns left in it")
            same(
                {n.identity: n for n in nodes(store, ALICE)}, {t.identity: _grave(t) for t in many}, "graves"
            )
            for ref in (OSAKA, BOB, NOBODY):
                same(contents(store, ref), ["a", "b", "c"], f"turns of {ref} after {ALICE} was forgotten")

    def test_forgetting_an_owner(self) -> None:
        """A user's sessions all, or the one session that has no user; by either way of asking."""
        asked = ((ALICE, True), (NOBODY, True), (NOBODY, False))
        for ref, everything in asked:
            with self.opened() as store:
                for other in (ALICE, OSAKA, BOB, NOBODY, SessionRef(None, "osaka")):
                    add(store, other, *line("a", "b"))
                mine = (ALICE, OSAKA) if ref == ALICE else (NOBODY,)
                every = sorted(seq for each in mine for seq in seqs(store, each))
                same(
                    sorted(forget(store, ref, everything=everything).seqs), every, f"turns of {ref} forgotten"
                )
                left = {(t.user, t.session) for t in store.turns(TurnsRequest())}
                same(len(left), 5 - len(mine), "sessions with turns left")
                check(
                    all((each.user, each.session) not in left for each in mine), "a turn of the owner is left"
                )

    def test_a_forgotten_session_is_not_listed(self) -> None:
        """Of its name nothing is shown, until something is said there again."""
        with self.opened() as store:
            add(store, ALICE, said("a"))
            add(store, OSAKA, said("a"))
            add(store, BOB)
            forget(store, ALICE)
            listed = [(s.user, s.name) for s in store.sessions(SessionsRequest())]
            same(listed, [("alice", "osaka"), ("bob", "kyoto")], "sessions after one was forgotten")
            same((store.stats().users, store.stats().sessions), (2, 2), "users and sessions counted")
            forget(store, OSAKA, *seqs(store, OSAKA))
            same(
                [s.user for s in store.sessions(SessionsRequest())],
                ["bob"],
                "after the other's last turn went",
            )
            same((store.stats().users, store.stats().sessions), (1, 1), "users and sessions counted then")
            add(store, ALICE, said("b"))
            same(
                [s.name for s in store.sessions(SessionsRequest(owner="alice"))],
                ["kyoto"],
                "and when it speaks",
            )

    def test_what_is_not_the_owners_stays(self) -> None:
        """Turns of others, of other sessions, and of nobody are passed over; then nothing has changed."""
        with self.opened() as store:
            for ref in (ALICE, OSAKA, BOB):
                add(store, ref, *line("a", "b"))
            foreign = (*seqs(store, OSAKA), *seqs(store, BOB), 1_000_000)
            before = {ref: store.nodes(NodesRequest(ref)) for ref in (ALICE, OSAKA, BOB)}
            same(forget(store, ALICE, *foreign), Forgotten((), 0, 0), "turns forgotten of others")
            same(forget(store, SessionRef("carol", "x"), everything=True), Forgotten((), 0, 0), "of nobody")
            same(forget(store, SessionRef("alice", "x")), Forgotten((), 0, 0), "of a session not there")
            nothing = ForgetRequest(owner=owner_of(ALICE), seqs=())
            same(forgetful(store).forget(nothing), Forgotten((), 0, 0), "of none")
            same({ref: store.nodes(NodesRequest(ref)) for ref in before}, before, "sessions after all that")
            same(len(store.turns(TurnsRequest())), 6, "turns after all that")
            done = forget(store, ALICE, *foreign, seqs(store, ALICE)[0])
            same(len(done.seqs), 1, "turns forgotten beside those of others")
            across = ForgetRequest(owner=owner_of(ALICE), seqs=(*seqs(store, OSAKA), *seqs(store, BOB)))
            same(len(forgetful(store).forget(across).seqs), 2, "turns of a user, in whatever session")
            same(contents(store, BOB), ["a", "b"], "turns of another user")

    def test_a_forgotten_place_is_found_again(self) -> None:
        """By its identity, so that a history sent again leads to its tombstones; by its meaning no more.

        The session may go by another name then, as its own is forgotten too.
        """
        with self.opened() as store:
            a, b = line("a", "b")
            for ref in (ALICE, BOB, NOBODY):
                add(store, ref, a, b)
                forget(store, ref)
            add(store, OSAKA, said("x"))
            for ref in (ALICE, NOBODY):
                found = list(store.find(FindRequest(ref.user, (b.identity,))))
                same(
                    [each.user for each in found], [ref.user], f"users of whom a turn of {ref} was forgotten"
                )
                same([nodes(store, each) for each in found], [nodes(store, ref)], f"what is left of {ref}")
                found = list(store.find(FindRequest(ref.user, meanings=(b.meaning,))))
                same(found, [], "sessions that know its meaning")

    def test_said_again_after_it_was_forgotten(self) -> None:
        """A new turn with a new id, at a new place or as a new saying; the tombstones stay."""
        with self.opened() as store:
            a, b = line("a", "b")
            old = ids_of(add(store, ALICE, a, b))
            forget(store, ALICE)
            new = ids_of(add(store, ALICE, said("b"), replace(b, saying=1)))
            check(not set(old) & set(new), f"ids of forgotten turns are used again: {old}, then {new}")
            same(contents(store, ALICE), ["b", "b"], "turns said again")
            found = nodes(store, ALICE)
            same({n.identity for n in found if n.forgotten}, {a.identity, b.identity}, "graves")
            tree = Tree(found)
            kept = tree.get(b.identity)
            check(kept is not None and not kept.forgotten, "a turn said again hides behind its tombstone")
            same(forgetful(store).residue(owner_of(ALICE), [int(i[1:]) for i in old]), 0, "what is left")
            forget(store, ALICE)
            sayings = sorted(n.saying for n in nodes(store, ALICE) if n.identity == b.identity)
            same(sayings, [0, 1], "sayings of graves at one place")

    def test_residue_counts_what_is_there(self) -> None:
        """Turns that were never forgotten, of this owner."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b", "c"))
            add(store, BOB, *line("a", "b"))
            mine = seqs(store, ALICE)
            residue = forgetful(store).residue
            same(residue(owner_of(ALICE), [*mine, *seqs(store, BOB), 10**6]), 3, "turns that are there")
            forget(store, ALICE, mine[0])
            same(residue(owner_of(ALICE), mine), 2, "turns that are there after one was forgotten")
            same(residue(owner_of(ALICE), mine[:1]), 0, "the forgotten one")
            same(residue(owner_of(NOBODY), mine), 0, "turns of an owner that is not there")

    def test_forgetting_many_turns(self) -> None:
        """2,000 at once, every second one by its place, then the rest."""
        with self.opened() as store:
            add(store, ALICE, *line(*range(2000)))
            every = [node.seq for node in nodes(store, ALICE)]
            same(len(forget(store, ALICE, *every[::2]).seqs), 1000, "turns forgotten by their places")
            same(store.stats().turns, 1000, "turns left")
            same(list(forget(store, ALICE).seqs), every[1::2], "turns forgotten as the rest of a session")
            same(len(nodes(store, ALICE)), 2000, "graves")
            same(forgetful(store).residue(owner_of(ALICE), every), 0, "what is left of them")
            same(forget(store, ALICE).seqs, (), "turns of a session forgotten twice")
