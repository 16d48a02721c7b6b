"""Reading back: turns, sessions, counts, and which session knows a turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from convmem.protocols import FindRequest, NodesRequest, SessionRef, SessionsRequest, TurnsRequest
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    NOON,
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

__all__ = ["Reading"]

_OSAKA = SessionRef("alice", "osaka")
_ALONE = SessionRef(None, "osaka")


class Reading(StoreTests):
    """What the reading methods answer."""

    def test_the_key(self) -> None:
        """32 bytes, always the same, and another in every store."""
        with self.opened() as one, self.opened() as other:
            key = one.key
            same((type(key), len(key)), (bytes, 32), "type and length of the key")
            add(one, ALICE, said("a"))
            same(one.key, key, "the key after a write")
            check(other.key != key, "two stores have one key")

    def test_an_empty_store(self) -> None:
        """It answers, with nothing."""
        with self.opened() as store:
            same(list(store.turns(TurnsRequest())), [], "turns of an empty store")
            same(list(store.sessions(SessionsRequest())), [], "sessions of an empty store")
            same(list(store.find(FindRequest(None, (digest("a"),)))), [], "sessions that know a turn")
            stats = store.stats()
            same((stats.users, stats.sessions, stats.turns, stats.calls), (0, 0, 0, 0), "counts")

    def test_everything_is_there_after_reopening(self) -> None:
        """Key, turns, tree and counts; and a repeat is still a repeat."""
        store = self.make_store()
        try:
            a, b, c = line("a", "b", "c")
            ids = add(store, ALICE, a, replace(b, state="pending")).ids
            last = add(store, ALICE, states=[(b.identity, "failed")])
            add(store, NOBODY, c)

            def everything() -> list[object]:
                return [
                    store.key,
                    list(store.turns(TurnsRequest())),
                    [store.nodes(NodesRequest(ref)).generation for ref in (ALICE, NOBODY)],
                    [nodes(store, ref) for ref in (ALICE, NOBODY)],
                    list(store.sessions(SessionsRequest())),
                ]

            before = everything()
            again = self.reopen(store)
            if again is None:
                return
            store = again
            same(everything(), before, "what is there after reopening")
            same(add(store, ALICE, a, b, expect=last.generation).ids, ids, "ids of turns written again")
            added = add(store, ALICE, c)
            check(added.generation > last.generation, "the generation does not rise after reopening")
            seqs = [turn.seq for turn in store.turns(TurnsRequest())]
            same(seqs, sorted(set(seqs)), "the order of turns written before and after reopening")
        finally:
            store.close()

    def test_whose_turns(self) -> None:
        """Of a session, of a user's sessions, of sessions without a user, of all; never another's."""
        with self.opened() as store:
            for ref, word in (
                (ALICE, "1"),
                (BOB, "2"),
                (NOBODY, "3"),
                (_OSAKA, "4"),
                (_ALONE, "5"),
                (ALICE, "6"),
            ):
                add(store, ref, said(word))

            def words(request: TurnsRequest) -> str:
                return "".join(turn.text for turn in store.turns(request))

            same(words(TurnsRequest()), "123456", "all turns")
            same(words(TurnsRequest(owner="alice")), "146", "alice's turns")
            same(words(TurnsRequest(owner="bob")), "2", "bob's turns")
            same(words(TurnsRequest(owner=None)), "35", "turns without a user")
            same(words(TurnsRequest(owner="kyoto")), "", "turns of a user who is not there")
            same(words(TurnsRequest(ref=ALICE)), "16", "turns of a session")
            same(words(TurnsRequest(ref=NOBODY)), "3", "turns of a session without a user")
            same(words(TurnsRequest(ref=ALICE, owner="bob")), "16", "turns of a session, whatever the owner")

    def test_after_limit_identities_and_places(self) -> None:
        """They narrow what is read, alone and together."""
        with self.opened() as store:
            a, b, c, d = line("a", "b", "c", "d")
            add(store, BOB, a, b)
            add(store, ALICE, a, b, replace(b, saying=1), c, d)
            seqs = [turn.seq for turn in turns(store, ALICE)]
            some = (d.identity, b.identity, digest("?"))

            def found(request: TurnsRequest) -> list[int]:
                return [seqs.index(turn.seq) for turn in store.turns(request)]

            same(found(TurnsRequest(ref=ALICE, after=seqs[1])), [2, 3, 4], "turns after the second")
            same(found(TurnsRequest(ref=ALICE, after=seqs[-1])), [], "turns after the last")
            same(found(TurnsRequest(ref=ALICE, limit=2)), [0, 1], "two turns")
            same(found(TurnsRequest(ref=ALICE, after=seqs[0], limit=1)), [1], "one turn after the first")
            same(
                found(TurnsRequest(ref=ALICE, identities=some)), [1, 2, 4], "turns by identity, every saying"
            )
            same(found(TurnsRequest(ref=ALICE, identities=some, limit=1)), [1], "one of them")
            same(
                found(TurnsRequest(ref=ALICE, identities=some, after=seqs[1])),
                [2, 4],
                "those after the second",
            )
            same(found(TurnsRequest(ref=ALICE, identities=())), [], "turns by no identity")
            asked = (seqs[4], seqs[1], seqs[-1] + 1000)
            same(found(TurnsRequest(ref=ALICE, seqs=asked)), [1, 4], "turns by their places")
            same(found(TurnsRequest(owner="alice", seqs=asked, after=seqs[1])), [4], "those after the second")
            same(found(TurnsRequest(ref=ALICE, seqs=())), [], "turns at no place")
            same(found(TurnsRequest(ref=BOB, seqs=asked)), [], "turns at the places of another's")

    def test_the_fields_of_a_turn(self) -> None:
        """Everything but the payload is what was written, or read from it."""
        with self.opened() as store:
            a = said(
                [{"type": "text", "text": "见图"}, {"type": "image_url", "image_url": {"url": "x"}}],
                name="小林",
            )
            b = replace(said(None, after=a, role="assistant", tool_calls=[]), state="partial", saying=2)
            ids = ids_of(add(store, ALICE, a, b))
            first, second = turns(store, ALICE)
            same(
                (first.role, first.name, first.text), ("user", "小林", "见图\n[image]"), "role, name and text"
            )
            same((second.role, second.name, second.text), ("assistant", None, ""), "those of a bare call")
            same((first.state, second.state), ("answered", "partial"), "states")
            same((first.choice, second.choice), (0, 2), "choices")
            same((first.branch, second.branch), (a.identity.hex(), b.identity.hex()), "branches")
            same((first.parent, second.parent), (None, ids[0]), "parents")

    def test_parents(self) -> None:
        """The id of the turn before, the first of its sayings; None at the start or when it is not there."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            loose = replace(said("x"), parent=digest("gone"))
            other = said("other", after=a)
            add(store, BOB, a, b)
            ids = ids_of(add(store, ALICE, a, b, replace(b, saying=1), c, loose, other))
            expected = [None, ids[0], ids[0], ids[1], None, ids[0]]
            same([turn.parent for turn in turns(store, ALICE)], expected, "parents")
            page = store.turns(TurnsRequest(ref=ALICE, identities=(c.identity,)))
            same([turn.parent for turn in page], [ids[1]], "the parent of a turn read without it")

    def test_times_keep_their_zone(self) -> None:
        """To the microsecond, with the offset from UTC, in any year."""
        offsets = [0, 8 * 3600, -(3 * 3600 + 1800), 14 * 3600, -12 * 3600, 5 * 3600 + 2700, 29143]
        with self.opened() as store:
            times = [
                datetime(2026, 2, 28, 23, 59, 59, 999999, timezone(timedelta(seconds=s))) for s in offsets
            ]
            times += [NOON.replace(microsecond=1), NOON.replace(year=1), NOON.replace(year=9999)]
            add(store, ALICE, *(said(str(n), at=at) for n, at in enumerate(times)))
            found = [turn.at for turn in turns(store, ALICE)]
            same(found, times, "times")
            same([at.utcoffset() for at in found], [at.utcoffset() for at in times], "their offsets from UTC")

    def test_sessions(self) -> None:
        """In the order they came, each with its first turn's time and how many turns it has."""
        with self.opened() as store:
            later = said("later", at=NOON + timedelta(days=1))
            for ref, said_first in ((BOB, later), (ALICE, said("a")), (NOBODY, said("a")), (_OSAKA, later)):
                add(store, ref, said_first)
            add(store, BOB, *line("b", "c"), replace(later, saying=1))

            def listed(request: SessionsRequest) -> list[tuple[str | None, str, int]]:
                return [(s.user, s.name, s.turns) for s in store.sessions(request)]

            everyone = [("bob", "kyoto", 4), ("alice", "kyoto", 1), (None, "kyoto", 1), ("alice", "osaka", 1)]
            same(listed(SessionsRequest()), everyone, "all sessions")
            same(listed(SessionsRequest(owner="alice")), [everyone[1], everyone[3]], "alice's sessions")
            same(listed(SessionsRequest(owner=None)), [everyone[2]], "sessions without a user")
            same(listed(SessionsRequest(owner="nobody")), [], "sessions of a user who is not there")
            created = [session.created for session in store.sessions(SessionsRequest())]
            same(created, [later.at, NOON, NOON, later.at], "when sessions began")

    def test_counts(self) -> None:
        """Users, sessions and turns, every branch and saying counted."""
        with self.opened() as store:
            for ref in (ALICE, _OSAKA, BOB, NOBODY, _ALONE):
                add(store, ref, *line("a", "b"), replace(said("a"), saying=1))
            stats = store.stats()
            same((stats.users, stats.sessions, stats.turns, stats.calls), (2, 5, 15, 0), "counts")
            check(stats.bytes is None or stats.bytes > 0, f"the store has {stats.bytes} bytes")

    def test_odd_names(self) -> None:
        """Names are the caller's strings, compared as they are."""
        names = [
            "",
            " ",
            "a",
            "A",
            "a ",
            "ä",
            "a\u0308",
            "京都",
            "東京",
            "😀",
            "%",
            "_",
            "a\0b",
            "a\0",
            "'; --",
            "x" * 512,
        ]
        with self.opened() as store:
            for name in names:
                for ref in (SessionRef("u", name), SessionRef(None, name), SessionRef(name, "s")):
                    add(store, ref, said(f"{ref}"))
            for name in names:
                for ref in (SessionRef("u", name), SessionRef(None, name), SessionRef(name, "s")):
                    same(contents(store, ref), [f"{ref}"], f"turns of {ref}")
            same([s.name for s in store.sessions(SessionsRequest(owner=None))], names, "names of sessions")

    def test_find_by_identity_and_by_meaning(self) -> None:
        """Either will do, and each session is named once."""
        with self.opened() as store:
            a, b, c = line("a", "b", "c")
            add(store, ALICE, a, b, replace(b, saying=1))
            add(store, _OSAKA, a, c)

            def found(
                *, identities: tuple[bytes, ...] = (), meanings: tuple[bytes, ...] = ()
            ) -> list[SessionRef]:
                return list(store.find(FindRequest("alice", identities, meanings)))

            same(found(identities=(b.identity,)), [ALICE], "sessions that know an identity")
            same(found(meanings=(c.meaning,)), [_OSAKA], "sessions that know a meaning")
            same(found(identities=(b.identity,), meanings=(c.meaning,)), [_OSAKA, ALICE], "either")
            same(found(identities=(a.identity, b.identity), meanings=(a.meaning,)), [_OSAKA, ALICE], "both")
            same(found(identities=(b.meaning,), meanings=(b.identity,)), [], "digests of the other kind")
            same(found(identities=(digest("?"),)), [], "sessions that know what nobody said")
            same(found(), [], "sessions that know nothing in particular")

    def test_find_stays_with_the_user(self) -> None:
        """Nobody finds another's session; without a user only sessions without one."""
        with self.opened() as store:
            turn = said("a")
            for ref in (ALICE, BOB, NOBODY, _ALONE, _OSAKA):
                add(store, ref, turn)
            for user, expected in (("alice", [_OSAKA, ALICE]), ("bob", [BOB]), (None, [_ALONE, NOBODY])):
                for request in (FindRequest(user, (turn.identity,)), FindRequest(user, (), (turn.meaning,))):
                    same(list(store.find(request)), expected, f"sessions that {user} finds")
            same(list(store.find(FindRequest("kyoto", (turn.identity,)))), [], "sessions of someone unknown")

    def test_find_gives_the_last_written_first(self) -> None:
        """Whatever was written first, or most; and no more than asked for."""
        first = said("a")
        for user in ("alice", None):
            refs = [SessionRef(user, str(n)) for n in range(12)]
            with self.opened() as store:
                for ref in refs:
                    add(store, ref, first)
                for word in "bcdefg":
                    add(store, refs[3], said(word))
                add(store, refs[7], said("b"))
                newest = [refs[n] for n in (7, 3, 11, 10, 9, 8, 6, 5, 4, 2, 1, 0)]
                for limit in (1, 3, 8, 20):
                    request = FindRequest(user, (first.identity,), limit=limit)
                    same(list(store.find(request)), newest[:limit], f"{limit} sessions of {user}")

    def test_closing_twice(self) -> None:
        """It is fine, also for a store that was never used."""
        for used in (False, True):
            store = self.make_store()
            if used:
                add(store, ALICE, said("a"))
            store.close()
            store.close()
