"""Writing: once each, in order, against what was expected, all of it or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.protocols import NodesRequest, SessionsRequest, TurnsRequest, Write
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    StoreTests,
    add,
    check,
    contents,
    digest,
    ids_of,
    line,
    nodes,
    said,
    same,
    turns,
)

if TYPE_CHECKING:
    from convmem.protocols import Store

__all__ = ["Writing"]


def _ids(store: Store) -> list[str]:
    return [turn.id for turn in store.turns(TurnsRequest())]


class Writing(StoreTests):
    """What `write` does with turns."""

    def test_each_turn_is_told_its_id(self) -> None:
        """One id per turn, in the order of the write, and the turn is found under it."""
        with self.opened() as store:
            written = add(store, ALICE, *line("a", "b", "c"))
            same([turn.id for turn in turns(store, ALICE)], list(ids_of(written)), "the ids of three turns")
            same(len(set(ids_of(written))), 3, "how many of the ids are different")

    def test_order_is_the_order_of_writing(self) -> None:
        """`seq` rises within a write, over writes and over owners, whatever the clock says."""
        with self.opened() as store:
            first, second = line("a", "b")
            earlier = replace(second, at=second.at.replace(year=1999))
            add(store, ALICE, first, earlier)
            add(store, BOB, said("c"))
            add(store, ALICE, said("d", after=second))
            add(store, NOBODY, said("e"))
            found = list(store.turns(TurnsRequest()))
            same([turn.payload["content"] for turn in found], list("abcde"), "the order of turns")
            seqs = [turn.seq for turn in found]
            check(seqs == sorted(set(seqs)) and seqs[0] > 0, f"seq does not rise from above 0: {seqs}")

    def test_a_turn_twice_in_one_write(self) -> None:
        """It is there once, and told the same id twice."""
        with self.opened() as store:
            turn = said("a")
            ids = ids_of(add(store, ALICE, turn, turn))
            same(len(turns(store, ALICE)), 1, "turns after one was written twice in one write")
            same(len(ids), 2, "ids for two turns")
            same(ids[0], ids[1], "the id of the same turn")

    def test_a_turn_again_in_a_later_write(self) -> None:
        """A repeat gets the id it had; what was kept first stays, and what is new is added."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            first = ids_of(add(store, ALICE, a, b))
            other = {**b.payload, "content": "another wording of the same meaning"}
            again = replace(b, payload=other, state="pending", at=b.at.replace(year=2030))
            second = ids_of(add(store, ALICE, a, again, c))
            same(second[:2], first, "the ids of turns written again")
            same(contents(store, ALICE), ["a", "b", "c"], "turns after a repeat")
            kept = turns(store, ALICE)[1]
            same((kept.state, kept.at), (b.state, b.at), "state and time of a turn written again")

    def test_what_makes_a_turn_another(self) -> None:
        """Another parent, identity or saying is another turn; another meaning or payload is not."""
        with self.opened() as store:
            turn = said("a")
            others = [
                replace(turn, parent=digest("elsewhere")),
                replace(turn, identity=digest("another")),
                replace(turn, saying=1),
            ]
            ids = ids_of(add(store, ALICE, turn, *others, replace(turn, meaning=digest("m"))))
            same(len(set(ids[:4])), 4, "different ids of turns that differ in parent, identity or saying")
            same(ids[4], ids[0], "the id of a turn that differs in meaning alone")

    def test_owners_keep_apart(self) -> None:
        """One session name and the same turns, under two users and under none: three sessions."""
        with self.opened() as store:
            ids: set[str] = set()
            for ref in (ALICE, BOB, NOBODY):
                ids.update(ids_of(add(store, ref, *line("a", "b"))))
            same(len(ids), 6, "different ids of the same turns of three owners")
            add(store, BOB, said("only bob's"), states=[(said("a").identity, "failed")])
            for ref in (ALICE, NOBODY):
                same(contents(store, ref), ["a", "b"], f"turns of {ref}")
                same({turn.state for turn in turns(store, ref)}, {"answered"}, f"states of {ref}")
                same(
                    {(t.user, t.session) for t in turns(store, ref)}, {(ref.user, ref.session)}, "their owner"
                )
            same(len(store.sessions(SessionsRequest())), 3, "sessions of three owners")

    def test_sessions_of_one_user_keep_apart(self) -> None:
        """The same turn in two sessions of a user is two turns."""
        with self.opened() as store:
            osaka = replace(ALICE, session="osaka")
            one, other = add(store, ALICE, said("a")), add(store, osaka, said("a"))
            check(one.ids != other.ids, "the same turn in two sessions has one id")
            add(store, osaka, states=[(said("a").identity, "failed")])
            same(
                turns(store, ALICE)[0].state,
                "answered",
                "the state of a turn after its twin elsewhere changed",
            )

    def test_expected_generation(self) -> None:
        """A write against the generation it was decided on is carried out."""
        with self.opened() as store:
            a, b = line("a", "b")
            first = add(store, ALICE, a, expect=0)
            check(first.ids is not None, "a write that expects no session found one")
            second = add(store, ALICE, b, expect=first.generation)
            check(second.ids is not None, "a write that expects the current generation was refused")
            same(contents(store, ALICE), ["a", "b"], "turns of expected writes")

    def test_unexpected_generation(self) -> None:
        """A write against an older generation changes nothing and is told the current one."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            old = add(store, ALICE, a, expect=0).generation
            now = add(store, ALICE, b).generation
            before = list(store.turns(TurnsRequest()))
            for expect in (0, old, now + 1):
                written = add(store, ALICE, c, expect=expect, states=[(a.identity, "failed")])
                same(
                    (written.ids, written.generation),
                    (None, now),
                    f"a write that expects {expect}, not {now}",
                )
            same(list(store.turns(TurnsRequest())), before, "turns after refused writes")
            same(store.nodes(NodesRequest(ALICE)).generation, now, "the generation after refused writes")

    def test_unexpected_absence(self) -> None:
        """A write that expects a session that is not there does not make it."""
        with self.opened() as store:
            add(store, BOB, said("a"))
            written = add(store, ALICE, said("a"), expect=1)
            same((written.ids, written.generation), (None, 0), "a write that expects a session not there")
            same([s.user for s in store.sessions(SessionsRequest())], ["bob"], "sessions after it")
            same(store.stats().users, 1, "users after it")

    def test_one_stale_write_leaves_the_others(self) -> None:
        """Each write of a batch is judged by itself, and answered in its place."""
        with self.opened() as store:
            add(store, BOB, said("there"))
            batch = [
                Write(ref=ALICE, expect=0, turns=tuple(line("a", "b"))),
                Write(ref=BOB, expect=0, turns=(said("stale"),)),
                Write(ref=NOBODY, turns=(said("c"),)),
            ]
            answers = list(store.write(batch))
            same([len(w.ids) if w.ids is not None else None for w in answers], [2, None, 1], "turns written")
            for ref, answer, expected in zip(
                (ALICE, BOB, NOBODY), answers, (["a", "b"], ["there"], ["c"]), strict=True
            ):
                same(contents(store, ref), expected, f"turns of {ref}")
                same(answer.generation, store.nodes(NodesRequest(ref)).generation, f"generation of {ref}")

    def test_a_batch_is_written_whole_or_not_at_all(self) -> None:
        """A message in it that no store can keep takes the rest with it, and later writes are fine."""
        with self.opened() as store:
            add(store, ALICE, said("before"))
            odd = replace(said("odd"), payload={"role": "user", "content": (n for n in range(3))})
            batch = [Write(ref=ALICE, turns=(said("lost"),)), Write(ref=BOB, turns=(said("lost"), odd))]
            try:
                store.write(batch)
            except Exception:  # noqa: BLE001 (which one is the store's to choose)
                same(contents(store, ALICE), ["before"], "turns after a batch that could not be written")
                same(len(store.sessions(SessionsRequest())), 1, "sessions after it")
            else:
                raise AssertionError("a generator was written as a message's content")
            add(store, BOB, said("after"))
            same(contents(store, BOB), ["after"], "turns after a batch that could not be written")

    def test_nothing_to_write(self) -> None:
        """No writes are no change; a write without anything makes its session."""
        with self.opened() as store:
            same(list(store.write([])), [], "the answer to an empty batch")
            same(list(store.sessions(SessionsRequest())), [], "sessions after an empty batch")
            written = add(store, ALICE)
            same(written.ids, (), "ids of a write without turns")
            same([s.turns for s in store.sessions(SessionsRequest())], [0], "turns of its session")
            same(nodes(store, ALICE), [], "nodes of its session")

    def test_many_turns_in_one_write(self) -> None:
        """2,000 turns, read back in pages, all there and in order."""
        with self.opened() as store:
            many = line(*range(2000))
            ids = list(ids_of(add(store, ALICE, *many)))
            add(store, BOB, said("not alice's"))
            found: list[str] = []
            after = 0
            while page := store.turns(TurnsRequest(ref=ALICE, after=after, limit=300)):
                check(len(page) <= 300, f"a page of at most 300 has {len(page)} turns")  # noqa: PLR2004
                found.extend(turn.id for turn in page)
                after = page[-1].seq
            same(found, ids, "ids of 2,000 turns read in pages")
            same(len(nodes(store, ALICE)), 2000, "nodes of 2,000 turns")
            wanted = tuple(turn.identity for turn in many)
            again = store.turns(TurnsRequest(ref=ALICE, identities=wanted, limit=5000))
            same([turn.id for turn in again], ids, "2,000 turns asked for by identity")
            same(add(store, ALICE, *many).ids, tuple(ids), "ids of 2,000 turns written again")
            same(len(_ids(store)), 500, "turns read without a limit of one's own")
