"""Views: beside their turns, each vector with its embedder, and told when they change."""

from __future__ import annotations

from dataclasses import replace

from convmem.abilities import NewView, UnindexedRequest, ViewsRequest
from convmem.protocols import NodesRequest, TurnsRequest, Write
from convmem.testing._abilities.base import (
    MODEL,
    OSAKA,
    OTHER_MODEL,
    owner_of,
    rows,
    seqs,
    unindexed,
    viewing,
    views,
)
from convmem.testing._store.base import ALICE, BOB, NOBODY, StoreTests, add, check, line, said, same

__all__ = ["ViewsConformance"]


class ViewsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_every_turn_has_a_row_of_views(self) -> None:
        """In the journal's order, over the owner's sessions, whatever its state; empty at first."""
        with self.opened() as store:
            a, b = line("a", "b")
            second = replace(b, saying=1, payload={"role": "assistant", "content": "B"})
            add(store, ALICE, a)
            add(store, BOB, a)
            add(store, OSAKA, replace(a, state="pending"))
            add(store, ALICE, replace(b, state="failed"), second)
            found = list(views(store, ALICE).rows)
            wanted = list(store.turns(TurnsRequest(owner="alice")))
            same(
                [(r.seq, r.session, r.identity.hex(), r.role, r.state, r.choice) for r in found],
                [(t.seq, t.session, t.branch, t.role, t.state, t.choice) for t in wanted],
                "rows of views beside the turns",
            )
            same([r.parent for r in found], [a.parent, a.parent, a.identity, a.identity], "their parents")
            same([(r.entry, r.vector) for r in found], [(None, None)] * 4, "views before there are any")

    def test_views_of_nobody(self) -> None:
        """An owner that is not there has the generation 0 and no rows."""
        with self.opened() as store:
            add(store, BOB, said("a"))
            for ref in (ALICE, NOBODY):
                reply = views(store, ref)
                same((reply.generation, reply.redaction, len(reply.rows)), (0, 0, 0), f"views of {ref}")

    def test_views_are_kept(self) -> None:
        """An entry and a vector, put together or apart, as they were given."""
        with self.opened() as store:
            viewing(store)
            add(store, ALICE, *line("a", "b", "c", "d"))
            a, b, c, d = seqs(store, ALICE)
            entry, vector = bytes(range(256)) * 3, b"\0\x3c" * 384
            viewing(store).put_views(
                [
                    NewView(seq=a, entry=entry, fingerprint=MODEL, vector=vector),
                    NewView(seq=b, entry=b""),
                    NewView(seq=c, fingerprint=MODEL, vector=vector),
                ]
            )
            viewing(store).put_views([NewView(seq=b, fingerprint=MODEL, vector=vector)])
            viewing(store).put_views([NewView(seq=c, entry=entry)])
            found = {seq: (row.entry, row.vector) for seq, row in rows(store, ALICE).items()}
            expected = {a: (entry, vector), b: (b"", vector), c: (entry, vector), d: (None, None)}
            same(found, expected, "views as they were put")

    def test_a_vector_means_nothing_without_its_embedder(self) -> None:
        """It is given to who names the embedder that made it, and to nobody else."""
        with self.opened() as store:
            add(store, ALICE, said("a"))
            (seq,) = seqs(store, ALICE)
            viewing(store).put_views([NewView(seq=seq, entry=b"e", fingerprint=MODEL, vector=b"12")])
            for fingerprint, expected in ((MODEL, b"12"), (OTHER_MODEL, None), (None, None), ("", None)):
                row = rows(store, ALICE, fingerprint)[seq]
                same((row.entry, row.vector), (b"e", expected), f"views for {fingerprint!r}")
            viewing(store).put_views([NewView(seq=seq, vector=b"34")])
            viewing(store).put_views([NewView(seq=seq, fingerprint=OTHER_MODEL)])
            same(rows(store, ALICE)[seq].vector, b"12", "the vector after half of another was put")
            same(rows(store, ALICE, OTHER_MODEL)[seq].vector, None, "a vector of which only half was put")

    def test_views_are_replaced(self) -> None:
        """By another entry, another vector, another embedder's; shorter, longer, of one length."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b", "c"))
            put: list[bytes | None] = [None, None]
            for n, size in enumerate((10, 10, 2000, 3, 0, 700)):
                model = (MODEL, OTHER_MODEL)[n % 2]
                batch = [
                    NewView(seq=seq, entry=bytes([n] * size), fingerprint=model, vector=bytes([n] * 2 * size))
                    for seq in seqs(store, ALICE)
                ]
                viewing(store).put_views(batch)
                viewing(store).put_views(batch)
                for row in rows(store, ALICE, model).values():
                    same(
                        (row.entry, row.vector), (batch[0].entry, batch[0].vector), f"views put {n + 1} times"
                    )
                other = rows(store, ALICE, (OTHER_MODEL, MODEL)[n % 2])
                kept = {row.vector for row in other.values()} - {None}  # it may keep them beside the new ones
                check(kept <= {put[1 - n % 2]}, f"vectors of an embedder that was replaced: {kept!r:.100}")
                put[n % 2] = batch[0].vector

    def test_views_that_changed_since(self) -> None:
        """From any generation on: new turns, new states, new views, and nothing else."""
        a, b, c = line("a", "b", "c")
        with self.opened() as store:
            steps: list[tuple[int, set[bytes]]] = []

            def step(*changed: bytes) -> None:
                steps.append((views(store, ALICE).generation, set(changed)))

            add(store, ALICE, a, replace(b, state="pending"))
            seq_a, seq_b = seqs(store, ALICE)
            step(a.identity, b.identity)
            viewing(store).put_views([NewView(seq=seq_a, entry=b"1")])
            step(a.identity)
            add(store, OSAKA, c)
            add(store, BOB, a)
            step(c.identity)
            viewing(store).put_views([NewView(seq=seqs(store, BOB)[0], entry=b"1")])
            add(store, ALICE, states=[(b.identity, "answered")])
            step(b.identity)
            viewing(store).put_views([NewView(seq=seq_b, fingerprint=MODEL, vector=b"12")])
            viewing(store).put_views([NewView(seq=seq_a, fingerprint=OTHER_MODEL, vector=b"12")])
            step(a.identity, b.identity)
            step()
            whole = {row.identity: row for row in views(store, ALICE).rows}
            for place, (since, _) in enumerate(steps):
                expected = set[bytes]().union(*(changed for _, changed in steps[place + 1 :]))
                reply = views(store, ALICE, since=since)
                same({row.identity for row in reply.rows}, expected, f"what changed after step {place + 1}")
                same(
                    [whole[row.identity] for row in reply.rows], list(reply.rows), "changed rows as they are"
                )
                same(reply.generation, steps[-1][0], "the generation told with them")

    def test_views_raise_the_owners_generation_only(self) -> None:
        """So that a partition is read again, while a write decided on before is not refused."""
        with self.opened() as store:
            for ref in (ALICE, BOB, NOBODY):
                add(store, ref, *line("a", "b"))
            before = {ref: views(store, ref).generation for ref in (ALICE, BOB, NOBODY)}
            session = store.nodes(NodesRequest(ALICE)).generation
            touched = [*seqs(store, ALICE), *seqs(store, NOBODY)]
            viewing(store).put_views([NewView(seq=seq, entry=b"e") for seq in touched])
            for ref in (ALICE, NOBODY):
                check(
                    views(store, ref).generation > before[ref], f"putting views left {ref} at {before[ref]}"
                )
            same(views(store, BOB).generation, before[BOB], "the generation of an owner without new views")
            same(store.nodes(NodesRequest(ALICE)).generation, session, "the session's generation after views")
            (written,) = store.write([Write(ref=ALICE, expect=session, turns=(said("c"),))])
            check(written.ids is not None, "a write was refused because views were put meanwhile")
            check(written.generation > before[ALICE], "a write went back behind the views")

    def test_views_of_turns_that_are_not_there(self) -> None:
        """They are passed over, those beside them are kept, and nobody's generation moves for them."""
        with self.opened() as store:
            add(store, ALICE, said("a"))
            (seq,) = seqs(store, ALICE)
            before = views(store, ALICE).generation
            viewing(store).put_views([NewView(seq=seq + 1000, entry=b"e"), NewView(seq=seq)])
            viewing(store).put_views([])
            same(views(store, ALICE).generation, before, "the generation after nothing was put")
            viewing(store).put_views([NewView(seq=seq + 1000, entry=b"e"), NewView(seq=seq, entry=b"f")])
            same({row.entry for row in rows(store, ALICE).values()}, {b"f"}, "views beside one of no turn")

    def test_turns_to_analyze(self) -> None:
        """Of any owner, in any state, in the journal's order, from a place on, so many."""
        with self.opened() as store:
            for ref in (ALICE, BOB, NOBODY):
                add(store, ref, *line("a", "b"))
            add(store, ALICE, said("pending", state="pending"))
            every = [turn.seq for turn in store.turns(TurnsRequest())]
            same(unindexed(store, None), every, "turns to analyze, at first")
            same(unindexed(store, None, every[2], 3), every[3:6], "a page of them")
            viewing(store).put_views([NewView(seq=seq, entry=b"e") for seq in every[1:4]])
            same(unindexed(store, None), [every[0], *every[4:]], "turns to analyze, with some done")
            viewing(store).put_views([NewView(seq=every[0], fingerprint=MODEL, vector=b"12")])
            same(unindexed(store, None)[0], every[0], "a turn that has a vector but was not analyzed")
            found = list(viewing(store).unindexed(UnindexedRequest(None)))
            whole = {turn.seq: turn for turn in store.turns(TurnsRequest())}
            same(found, [whole[turn.seq] for turn in found], "turns to analyze, in full")

    def test_turns_to_embed(self) -> None:
        """Those without a vector by this embedder, and those that were not analyzed."""
        with self.opened() as store:
            add(store, ALICE, *line(*"abcdef"))
            a, b, c, d, e, f = seqs(store, ALICE)
            entries = [NewView(seq=seq, entry=b"e") for seq in (a, b, c, d, e)]
            vectors = [NewView(seq=seq, fingerprint=MODEL, vector=b"12") for seq in (a, b, f)]
            others = [NewView(seq=seq, fingerprint=OTHER_MODEL, vector=b"12") for seq in (c, d)]
            viewing(store).put_views([*entries, *vectors, *others])
            same(unindexed(store, MODEL), [c, d, e, f], "turns that this embedder has yet to embed")
            same(unindexed(store, OTHER_MODEL), [a, b, e, f], "the same of another")
            same(unindexed(store, "new"), [a, b, c, d, e, f], "the same of a new one")
            same(unindexed(store, "new", b, 2), [c, d], "a page of them")
            same(unindexed(store, None), [f], "turns to analyze")

    def test_views_after_reopening(self) -> None:
        """They are there, and what is missing is still known."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b"))
            a, b = seqs(store, ALICE)
            viewing(store).put_views([NewView(seq=a, entry=b"e", fingerprint=MODEL, vector=b"12")])
            before = views(store, ALICE)
            again = self.reopen(store)
            if again is None:
                return
            try:
                after = views(again, ALICE)
                same((after.generation, after.redaction), (before.generation, before.redaction), "counters")
                same(list(after.rows), list(before.rows), "views after reopening")
                same(unindexed(again, MODEL), [b], "turns to embed after reopening")
            finally:
                again.close()

    def test_views_come_in_pages(self) -> None:
        """So many rows after a place in the journal: of all turns, and of those that changed."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b", "c"))
            add(store, BOB, said("x"))
            before = views(store, ALICE).generation
            add(store, OSAKA, *line("d", "e"))
            owner = owner_of(ALICE)
            for since in (0, before):
                wanted = [row.seq for row in views(store, ALICE, MODEL, since).rows]
                paged: list[int] = []
                while (
                    page := viewing(store)
                    .views(ViewsRequest(owner, MODEL, since, after=paged[-1] if paged else 0, limit=2))
                    .rows
                ):
                    check(len(page) <= 2, f"a page of at most 2 has {len(page)} rows")  # noqa: PLR2004
                    paged += [row.seq for row in page]
                    check(len(paged) <= len(wanted), "a page has rows of the page before it")
                same(paged, wanted, f"pages of what changed since {since}")

    def test_views_of_many_turns(self) -> None:
        """2,000 of them, put in pages, read at once."""
        with self.opened() as store:
            add(store, ALICE, *line(*range(2000)))
            after = 0
            while page := unindexed(store, MODEL, after, 300):
                check(len(page) <= 300, f"a page of at most 300 has {len(page)} turns")  # noqa: PLR2004
                viewing(store).put_views(
                    [NewView(seq=seq, entry=b"%d" % seq, fingerprint=MODEL, vector=b"12") for seq in page]
                )
                after = page[-1]
            found = viewing(store).views(ViewsRequest(owner_of(ALICE), MODEL)).rows
            same(len(found), 2000, "rows of 2,000 turns")
            check(all(row.entry == b"%d" % row.seq for row in found), "a row has another row's entry")
            same([row.seq for row in found], sorted(row.seq for row in found), "their order")
