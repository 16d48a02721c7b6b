"""What one call needs, read at once: the same as by the other abilities, and no more than is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import (
    CallReads,
    CallReadsRequest,
    Epoch,
    EpochRef,
    Epochs,
    ForgetRequest,
    Forgets,
    NewView,
    Pins,
    Views,
    ViewsRequest,
)
from convmem.testing._abilities.base import MODEL, OSAKA, owner_of
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    NOON,
    StoreTests,
    add,
    check,
    digest,
    line,
    said,
    same,
)

if TYPE_CHECKING:
    from convmem.abilities import CallReadsReply
    from convmem.protocols import NewTurn

__all__ = ["CallReadsConformance"]

_WHICH = EpochRef(ALICE, "api.example.com", "small")


def _read(store: object, request: CallReadsRequest) -> CallReadsReply:
    if not isinstance(store, CallReads):
        raise AssertionError(f"{type(store).__name__} lacks methods of CallReads")  # noqa: TRY004
    return store.call_reads(request)


def _path(*turns: NewTurn) -> tuple[bytes, ...]:
    return tuple(turn.identity for turn in turns)


def _said(reply: CallReadsReply) -> list[object]:
    return [turn.payload["content"] for turn in reply.turns]


class CallReadsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_a_call_in_a_session_that_is_not_there(self) -> None:
        """Reads nothing, whatever others have."""
        with self.opened() as store:
            add(store, BOB, *line("a"))
            views = ViewsRequest(owner_of(ALICE), MODEL)
            for ref in (ALICE, NOBODY):
                reply = _read(store, CallReadsRequest(which=replace(_WHICH, ref=ref), path=_path(said("a"))))
                same((reply.epoch, len(reply.turns), len(reply.pins)), (None, 0, 0), f"what {ref} reads")
                same((reply.unread, reply.views), (0, None), f"what else {ref} reads")
            reply = _read(store, CallReadsRequest(which=_WHICH, views=views))
            if reply.views is not None and isinstance(store, Views):
                same(reply.views, store.views(views), "views of nobody")

    def test_a_call_reads_the_turns_of_its_path(self) -> None:
        """In the order of the path, without those that the asker has and those that are not there."""
        with self.opened() as store:
            a, b, c, d = line("a", {"type": "text", "text": "b"}, "c", "d")
            add(store, ALICE, a, b, c, d)
            add(store, BOB, *line("a", "bob's"))
            path = _path(a, b, c, d)
            same(_said(_read(store, CallReadsRequest(which=_WHICH))), [], "turns of an empty path")
            whole = _read(store, CallReadsRequest(which=_WHICH, path=path))
            same([turn.payload for turn in whole.turns], [t.payload for t in (a, b, c, d)], "turns of a path")
            same([turn.branch for turn in whole.turns], [i.hex() for i in path], "their identities")
            wanted = (digest("gone"), *path[:2])
            reply = _read(store, CallReadsRequest(which=_WHICH, path=wanted, held=frozenset(path[:1])))
            same(_said(reply), [b.payload["content"]], "turns without those held and those not there")
            same(reply.unread, 0, "turns not looked for")

    def test_of_several_sayings_a_call_reads_the_first(self) -> None:
        """As `turns` gives them in the journal's order."""
        with self.opened() as store:
            a = said("a")
            add(store, ALICE, replace(a, payload={"role": "user", "content": "first"}))
            add(store, ALICE, replace(a, saying=1, payload={"role": "user", "content": "second"}))
            same(_said(_read(store, CallReadsRequest(which=_WHICH, path=_path(a)))), ["first"], "the saying")

    def test_a_call_reads_the_newest_turns_that_fit(self) -> None:
        """One at least, and how many were not looked for."""
        with self.opened() as store:
            turns = line(*(str(n) * 1_000 for n in range(250)))
            add(store, ALICE, *turns)
            path = _path(*turns)
            for characters, least, most in ((0, 1, 1), (7_500, 2, 2), (10_000_000, 250, 250)):
                reply = _read(store, CallReadsRequest(which=_WHICH, path=path, characters=characters))
                given = len(reply.turns)
                check(least <= given <= most, f"{given} turns in {characters} characters")
                same(_said(reply), [t.payload["content"] for t in turns[250 - given :]], "the newest turns")
                same(reply.unread, 250 - given, "turns not looked for")

    def test_a_call_reads_from_the_start_of_its_epoch(self) -> None:
        """Of this host and model; where the path does not lead over its start, all of the path."""
        with self.opened() as store:
            if not isinstance(store, Epochs):
                return
            a, b, c = line("a", "b", "c")
            add(store, ALICE, a, b, c)
            add(store, OSAKA, a)
            epoch = Epoch(b.identity, "words of a")
            store.put_epoch(_WHICH, epoch)
            store.put_epoch(replace(_WHICH, ref=OSAKA), Epoch(a.identity, "elsewhere"))
            reply = _read(store, CallReadsRequest(which=_WHICH, path=_path(a, b, c)))
            same((reply.epoch, _said(reply)), (epoch, ["b", "c"]), "what is read behind a cut")
            reply = _read(store, CallReadsRequest(which=_WHICH, path=_path(a, c)))
            same((reply.epoch, _said(reply)), (epoch, ["a", "c"]), "what is read on another branch")
            other = replace(_WHICH, model="large")
            reply = _read(store, CallReadsRequest(which=other, path=_path(a, b, c)))
            same((reply.epoch, _said(reply)), (None, ["a", "b", "c"]), "what another model's call reads")

    def test_a_call_reads_its_owners_pins(self) -> None:
        """The oldest first, and nobody else's."""
        with self.opened() as store:
            if not isinstance(store, Pins):
                return
            add(store, ALICE, *line("a"))
            add(store, BOB, *line("a"))
            pins = [store.put_pin(owner_of(ALICE), text, NOON) for text in ("one", "two")]
            store.put_pin(owner_of(BOB), "three", NOON)
            for which in (_WHICH, replace(_WHICH, ref=OSAKA)):
                same(list(_read(store, CallReadsRequest(which=which)).pins), pins, "pins")

    def test_a_call_reads_the_views_that_changed(self) -> None:
        """As `views` gives them, unless there are more than asked for."""
        with self.opened() as store:
            if not isinstance(store, Views):
                return
            add(store, ALICE, *line("a", "b", "c"))
            before = store.views(ViewsRequest(owner_of(ALICE), MODEL))
            seq = before.rows[1].seq
            store.put_views([NewView(seq=seq, entry=b"e", fingerprint=MODEL, vector=b"12")])
            for since in (0, before.generation, before.generation + 1):
                asked = ViewsRequest(owner_of(ALICE), MODEL, since)
                wanted = store.views(asked)
                reply = _read(store, CallReadsRequest(which=_WHICH, views=asked))
                same(reply.views, wanted, f"views since {since}")
                most = len(wanted.rows)
                reply = _read(store, CallReadsRequest(which=_WHICH, views=asked, most_views=most))
                same(reply.views, wanted, "as many views as asked for at most")
                if most:
                    reply = _read(store, CallReadsRequest(which=_WHICH, views=asked, most_views=most - 1))
                    same(reply.views, None, "more views than asked for at most")

    def test_a_call_reads_nothing_that_was_forgotten(self) -> None:
        """Neither turns nor pins, and the views tell that something was."""
        with self.opened() as store:
            if not isinstance(store, Forgets):
                return
            a, b = line("a", "b")
            add(store, ALICE, a, b)
            asked = ViewsRequest(owner_of(ALICE), MODEL)
            request = CallReadsRequest(which=_WHICH, path=_path(a, b), views=asked)
            before = _read(store, request)
            store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(before.turns[0].seq,)))
            after = _read(store, request)
            same((_said(after), after.unread), (["b"], 0), "turns after one was forgotten")
            if before.views is not None and after.views is not None:
                check(
                    after.views.redaction != before.views.redaction, "forgetting did not raise the redaction"
                )
