"""Generations, states and calls: what a cache and a ledger rely on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from convmem.protocols import CallRow, Node, NodesRequest, SessionRef, SessionsRequest, TurnsRequest, Write
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

if TYPE_CHECKING:
    from convmem.protocols import Store

__all__ = ["Changes"]


class Changes(StoreTests):
    """What changes, and how it is told."""

    def test_an_unknown_session(self) -> None:
        """It has the generation 0 and no turns."""
        with self.opened() as store:
            add(store, BOB, said("a"))
            for ref in (ALICE, NOBODY, SessionRef("bob", "osaka"), SessionRef("kyoto", "bob")):
                reply = store.nodes(NodesRequest(ref))
                same((reply.generation, len(reply.nodes)), (0, 0), f"nodes of {ref}, which is not there")
                same(list(store.turns(TurnsRequest(ref=ref))), [], f"turns of {ref}, which is not there")

    def test_generations_rise(self) -> None:
        """Every write raises its owner's generation, and a session is at that of its last write."""
        osaka = replace(ALICE, session="osaka")
        with self.opened() as store:
            add(store, BOB, said("a"))
            last = 0
            turn: str = ""
            for ref in (ALICE, osaka, ALICE, ALICE, osaka):
                turn += "a"
                written = add(store, ref, said(turn))
                check(written.generation > last, f"{ref}: generation {written.generation} after {last}")
                last = written.generation
                same(store.nodes(NodesRequest(ref)).generation, last, "the generation of the session written")
            both = store.write([Write(ref=osaka, turns=(said("x"),)), Write(ref=ALICE, turns=(said("y"),))])
            for ref, written in zip((osaka, ALICE), both, strict=True):
                check(written.generation > last, f"{ref}: generation {written.generation} after {last}")
                same(store.nodes(NodesRequest(ref)).generation, written.generation, f"generation of {ref}")
            same(store.nodes(NodesRequest(ALICE)).redaction, 0, "redaction where nothing was forgotten")

    def test_nodes_are_the_turns_without_words(self) -> None:
        """Place, digests, role, state and saying, in the journal's order."""
        with self.opened() as store:
            a, b = line("a", "b")
            said_again = replace(b, saying=1, payload={"role": "assistant", "content": "B"}, state="partial")
            add(store, ALICE, a, b, said_again)
            seqs = [turn.seq for turn in turns(store, ALICE)]
            expected = [
                Node(seqs[0], a.identity, a.parent, a.meaning, "user", "answered", 0),
                Node(seqs[1], b.identity, a.identity, b.meaning, "user", "answered", 0),
                Node(seqs[2], b.identity, a.identity, b.meaning, "assistant", "partial", 1),
            ]
            same(nodes(store, ALICE), expected, "nodes")

    def test_what_changed_since(self) -> None:
        """From any generation on: new turns and changed states, each as it is now, and nothing else."""
        a, b, c, d = line("a", "b", "c", "d")
        pending = replace(b, state="pending")
        with self.opened() as store:
            steps: list[tuple[int, set[bytes]]] = []

            def step(changed: set[bytes], generation: int) -> None:
                steps.append((generation, changed))

            step({a.identity, b.identity}, add(store, ALICE, a, pending).generation)
            add(store, replace(ALICE, session="osaka"), a, d)
            step({c.identity}, add(store, ALICE, c).generation)
            step({b.identity}, add(store, ALICE, states=[(b.identity, "answered")]).generation)
            step(set(), add(store, ALICE, a, c, states=[(b.identity, "answered")]).generation)
            add(store, BOB, a, states=[(a.identity, "failed")])
            step({d.identity}, add(store, ALICE, b, d, states=[(digest("?"), "failed")]).generation)
            for place, (since, _) in enumerate(steps):
                expected = set[bytes]().union(*(changed for _, changed in steps[place + 1 :]))
                reply = store.nodes(NodesRequest(ALICE, since))
                same(
                    {node.identity for node in reply.nodes}, expected, f"what changed after step {place + 1}"
                )
                same(reply.generation, steps[-1][0], "the generation told with it")
                whole = {node.identity: node for node in nodes(store, ALICE)}
                same(
                    [whole[n.identity] for n in reply.nodes],
                    list(reply.nodes),
                    "changed turns as they are now",
                )

    def test_new_states(self) -> None:
        """They are seen everywhere; every saying of the identity takes them."""
        with self.opened() as store:
            a, b = line("a", "b")
            add(store, ALICE, replace(a, state="pending"), b, replace(b, saying=1))
            for state in ("failed", "pending", "partial", "answered"):
                add(store, ALICE, states=[(a.identity, state)])
                same(turns(store, ALICE)[0].state, state, "a changed state, in the turn")
                same(nodes(store, ALICE)[0].state, state, "a changed state, in the node")
            add(store, ALICE, states=[(a.identity, "failed"), (b.identity, "partial")])
            same(
                [t.state for t in turns(store, ALICE)],
                ["failed", "partial", "partial"],
                "states of three turns",
            )

    def test_states_of_unknown_turns(self) -> None:
        """They are passed over, and what stands beside them is written."""
        with self.opened() as store:
            a, b = line("a", "b")
            add(store, ALICE, a)
            written = add(store, ALICE, b, states=[(digest("?"), "failed"), (a.identity, "partial")])
            same(len(ids_of(written)), 1, "turns of a write with the state of an unknown one")
            same(contents(store, ALICE), ["a", "b"], "turns after it")
            same([turn.state for turn in turns(store, ALICE)], ["partial", "answered"], "states after it")

    def test_calls_are_counted_once(self) -> None:
        """The second write of a call is the same call; a refused write keeps none; settings are none."""
        with self.opened() as store:
            begun = CallRow(id="c1", at=NOON, state="pending", model="m", host="h")
            add(store, ALICE, said("a"), call=begun)
            add(store, ALICE, call=replace(begun, state="answered"))
            same(store.stats().calls, 1, "calls after one was written twice")
            add(store, ALICE, expect=0, call=replace(begun, id="c2"))
            same(store.stats().calls, 1, "calls after a refused write")
            add(store, BOB, call=replace(begun, id="c3"))
            same(store.stats().calls, 2, "calls of two owners")
            settings = ({"role": "system", "content": "短く"},)
            add(store, BOB, call=CallRow(id="c4", at=NOON, state="answered", settings=settings))
            same(store.stats().calls, 2, "calls after settings were recorded, which is none")
            same([s.created for s in store.sessions(SessionsRequest(owner="bob"))], [NOON], "made by a call")

    def test_a_call_is_filled_in(self) -> None:
        """The second write adds what it knows; what it does not know stays."""
        with self.opened() as store:
            begun = CallRow(
                id="c",
                at=NOON,
                state="pending",
                model="m",
                host="h",
                settings=({"role": "system", "content": "短く"},),
                end=digest("end"),
            )
            ended = CallRow(
                id="c",
                at=NOON + timedelta(seconds=3),
                state="partial",
                model="m-2026",
                usage={"prompt_tokens": 3, "details": {"cached": 0}},
                response_id="r",
                error="Timeout",
            )
            add(store, ALICE, call=begun)
            self._check_call(store, begun)
            add(store, ALICE, call=ended)
            whole = replace(
                begun,
                state="partial",
                model="m-2026",
                usage=ended.usage,
                response_id="r",
                error="Timeout",
            )
            self._check_call(store, whole)
            add(store, ALICE, call=CallRow(id="c", at=NOON, state="answered"))
            self._check_call(store, replace(whole, state="answered"))

    def _check_call(self, store: Store, expected: CallRow) -> None:
        found = self.read_call(store, expected.id)
        if found is not None:
            same(found, expected, "a call as it is kept")
