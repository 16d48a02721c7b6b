"""Apps of every habit against an oracle: no turn twice, none lost, order and head right."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from convmem.direct.export import conversation
from convmem.journal.begin import BeginJob
from convmem.journal.digests import SeenMessages
from convmem.journal.end import EndJob
from convmem.journal.forest import Forest
from convmem.journal.placed import Call
from convmem.journal.tree import Tree
from convmem.protocols import NodesRequest, SessionRef, TurnsRequest
from convmem.stores.memory import InMemoryStore
from convmem.wire.values import ChatRequest, Reply

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REF = SessionRef("alice", "s")

# Few and short on purpose: the same message stands in many places.
NUMBERED = st.integers(0, 10_000).map(str)
USER_TEXTS = st.one_of(st.sampled_from(["ok", "好的", "and then?"]), NUMBERED)
REPLY_TEXTS = st.one_of(st.sampled_from(["sure", "好的"]), NUMBERED)

Message = dict
Path = tuple  # of messages' keys, from the start of the conversation


def key_of(message: Message) -> tuple:
    calls = tuple(call["id"] for call in message.get("tool_calls", ()))
    return (message["role"], message.get("content") or "", calls, message.get("tool_call_id"))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


class Oracle:
    """The conversation as the apps meant it: every path that was said, in the order of saying."""

    def __init__(self) -> None:
        self.said: dict[Path, bool] = {}  # path → settled
        self.messages: dict[Path, list[Message]] = {(): []}

    def say(self, path: Path, messages: list[Message], *, settled: bool) -> Path:
        for message in messages:
            before, path = path, (*path, key_of(message))
            self.messages.setdefault(path, [*self.messages[before], message])
            self.said.setdefault(path, settled)
        return path

    def settle(self, path: Path) -> None:
        while path and not self.said[path]:
            self.said[path] = True
            path = path[:-1]

    def head(self) -> Path:
        inner = {path[:n] for path, settled in self.said.items() if settled for n in range(len(path))}
        return next((p for p, settled in reversed(self.said.items()) if settled and p not in inner), ())

    def newest(self, message: Message) -> Path:
        """Where a message sent alone goes: said again while nobody answered it, else after the head."""
        head = self.head()
        for path, settled in reversed(self.said.items()):
            if path == head:
                break
            if not settled and path[-1] == key_of(message):
                return path
        return (*head, key_of(message))

    def explains(self, sent: list[Message], meant: Path) -> bool:
        """Whether what was sent could also be the end or a middle of another branch: no rule can know."""
        keys = tuple(map(key_of, sent))
        true_start = len(meant) - len(keys)
        true_known = max(
            (n for n in range(len(keys) + 1) if meant[: true_start + n] in {(), *self.said}), default=0
        )
        for path in self.said:
            for start in range(len(path)):
                known = len(
                    list(
                        itertools.takewhile(
                            lambda pair: pair[0] == pair[1], zip(path[start:], keys, strict=False)
                        )
                    )
                )
                elsewhere = path[:start] != meant[:true_start]
                if elsewhere and known and known >= true_known - 1:
                    return True
        return False


def same_tree(held: Tree, stored: Tree) -> bool:
    """Whether two trees have the same turns in the same order."""
    return (
        list(held.latest_first()) == list(stored.latest_first())
        and held.waiting == stored.waiting
        and all(held.children(n.identity) == stored.children(n.identity) for n in stored.latest_first())
    )


class Apps(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = InMemoryStore()
        self.forest = Forest(self.store)
        self.oracle = Oracle()
        self.flying: list[tuple[BeginJob, Path]] = []
        self.numbers = itertools.count()

    def run_job(self, job) -> None:
        write = job.plan(self.forest)
        written = self.store.write([write])[0] if write is not None else None
        job.finish(written)
        if write is not None:
            self.forest.wrote(write, written)
            # What is held is what the store has, though nothing is read again.
            assert same_tree(self.forest.tree(REF)[1], Tree(self.store.nodes(NodesRequest(REF)).nodes))
        job.outcome.result()

    def begin(self, sent: list[Message], meant: Path) -> None:
        """Send `sent`; the app means its last message to stand at `meant`."""
        request = ChatRequest((), tuple(sent))
        n = next(self.numbers)
        call = Call(
            id=f"c{n}",
            at=NOW,
            user="alice",
            session="s",
            fresh_session="unused",
            mode="on",
            host=None,
            request=request,
        )
        job = BeginJob(call, self.store, SeenMessages(self.store.key), written=lambda _: None)
        self.run_job(job)
        self.flying.append((job, meant))

    def end(self, index: int, replies: list[Message], *, complete: bool = True) -> None:
        job, meant = self.flying.pop(index)
        self.run_job(
            EndJob(
                job,
                Reply(tuple(replies), complete=complete),
                at=NOW,
                error=None,
                quoted=(),
                written=lambda *_: None,
            )
        )
        if replies:
            self.oracle.settle(meant)
            for reply in replies:
                self.oracle.settle(self.oracle.say(meant, [reply], settled=True))

    def answered_paths(self) -> list[Path]:
        return [
            p
            for p, settled in self.oracle.said.items()
            if settled and p[-1][0] == "assistant" and not p[-1][2]
        ]

    # Sending.

    @rule(data=st.data(), text=USER_TEXTS)
    def full_history(self, data, text) -> None:
        """The app sends all of some branch and a new message: its next turn, an edit, or the same again."""
        before = data.draw(st.sampled_from([(), *self.answered_paths()]))
        sent = [*self.oracle.messages[before], user(text)]
        assume(len(sent) > 1 or not self.oracle.said)  # alone it looks like newest-only
        assume(not self.oracle.explains(sent, (*before, key_of(user(text)))))
        self.begin(sent, self.oracle.say(before, [user(text)], settled=False))

    def awaited(self) -> bool:
        """Whether a reply is awaited behind the head: what is said then is in test_double_texting.py."""
        head = self.oracle.head()
        return any(meant[: len(head)] == head != meant for _, meant in self.flying)

    @rule(text=USER_TEXTS)
    @precondition(lambda self: not self.awaited())
    def newest_only(self, text) -> None:
        meant = self.oracle.newest(user(text))
        self.begin([user(text)], self.oracle.say(meant[:-1], [user(text)], settled=False))

    @rule()
    @precondition(lambda self: self.oracle.said and list(self.oracle.said)[-1][-1][0] == "user")
    def newest_only_again(self) -> None:
        """The last message once more, alone, while nobody answered it."""
        path = list(self.oracle.said)[-1]
        assume(not self.oracle.said[path])
        self.begin([self.oracle.messages[path][-1]], path)

    @rule(text=USER_TEXTS, keep=st.integers(1, 5))
    @precondition(lambda self: len(self.oracle.head()) > 1 and not self.oracle.head()[-1][2])
    def truncated(self, text, keep) -> None:
        head = self.oracle.head()
        sent = [*self.oracle.messages[head][-keep:], user(text)]
        meant = (*head, key_of(user(text)))
        assume(any(m["role"] == "assistant" for m in sent))
        assume(not self.oracle.explains(sent, meant))
        self.begin(sent, self.oracle.say(head, [user(text)], settled=False))

    def asked_before(self) -> list[Path]:
        return [p for p in self.oracle.said if p[-1][0] == "user" and any(key[0] == "assistant" for key in p)]

    @rule(data=st.data(), keep=st.integers(2, 5) | st.just(1_000))
    @precondition(asked_before)
    def sent_again(self, data, keep) -> None:
        """The same request once more, whole or truncated: after a time-out, or to have another answer."""
        path = data.draw(st.sampled_from(self.asked_before()))
        sent = self.oracle.messages[path][-keep:]
        assume(any(m["role"] == "assistant" for m in sent))
        assume(not self.oracle.explains(sent, path))
        self.begin(sent, path)

    def calling(self) -> list[Path]:
        return [path for path, settled in self.oracle.said.items() if settled and path[-1][2]]

    @rule(data=st.data())
    @precondition(calling)
    def tool_results(self, data) -> None:
        """The app answers a reply that called tools, with its whole history or with the results alone."""
        path = data.draw(st.sampled_from(self.calling()))
        results = [{"role": "tool", "tool_call_id": c, "content": "ok"} for c in path[-1][2]]
        alone = path == self.oracle.head() and data.draw(st.booleans())
        meant = (*path, *map(key_of, results))
        sent = results if alone else [*self.oracle.messages[path], *results]
        assume(alone or not self.oracle.explains(sent, meant))
        self.begin(sent, self.oracle.say(path, results, settled=False))

    @rule(asked=st.lists(st.tuples(USER_TEXTS, REPLY_TEXTS), min_size=1, max_size=3))
    @precondition(lambda self: len(self.oracle.said) < 24 and not self.awaited())
    def some_rounds(self, asked) -> None:
        for text, reply in asked:
            self.newest_only(text)
            self.end(len(self.flying) - 1, [{"role": "assistant", "content": reply}])

    # Being answered, in any order.

    @rule(data=st.data(), text=REPLY_TEXTS)
    @precondition(lambda self: self.flying)
    def answer(self, data, text) -> None:
        self.end(data.draw(st.integers(0, len(self.flying) - 1)), [{"role": "assistant", "content": text}])

    @rule(data=st.data(), n=st.integers(1, 2))
    @precondition(lambda self: self.flying)
    def call_tools(self, data, n) -> None:
        calls = [
            {
                "id": f"call-{next(self.numbers)}",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
            }
            for _ in range(n)
        ]
        reply = {"role": "assistant", "content": None, "tool_calls": calls}
        self.end(data.draw(st.integers(0, len(self.flying) - 1)), [reply])

    @rule(data=st.data())
    @precondition(lambda self: self.flying)
    def fail(self, data) -> None:
        self.end(data.draw(st.integers(0, len(self.flying) - 1)), [], complete=False)

    # What must hold.

    @invariant()
    def journal_is_what_was_meant(self) -> None:
        turns = self.store.turns(TurnsRequest(ref=REF, limit=10_000))
        by_id = {turn.id: turn for turn in turns}
        paths = []
        for turn in turns:
            way, at = [], turn
            while at is not None:
                way.append(key_of(at.payload))
                at = by_id.get(at.parent)
            paths.append(tuple(reversed(way)))
        assert paths == list(self.oracle.said), "each turn once, none lost, in the order of saying"
        settled = [turn.state in {"answered", "partial"} for turn in turns]
        assert settled == list(self.oracle.said.values())
        head = conversation(turns, self.store.nodes(NodesRequest(REF)).nodes)
        said = tuple(key_of(turn.payload) for turn in head if turn.state in {"answered", "partial"})
        assert said == self.oracle.head()


Apps.TestCase.settings = settings(
    max_examples=120, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestApps = Apps.TestCase
