"""What holds for every request of any conversation: it begins as the one before it and keeps its budget."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import openai
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import convmem
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing import Fault, LocalProvider, Reply, ToolCall
from convmem.testing.fakes import FakeEmbedder
from convmem.tokens.count import count_message, estimate

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
SYSTEM = {"role": "system", "content": "Be brief."}
FACTS = [
    "The plumber Okafor comes on Tuesday at 14:30.",
    "我们把预算改成了三万二。",
    "My locker code is 7719.",
    "书店的会员号是 K-204。",
]
TEXTS = [
    *FACTS,
    "ok",
    "好的",
    "what is my locker code?",
    "预算是多少？",
    "We moved the 9 o'clock visit of the plumber to the 12th of May, " * 3,
    "word " * 300,
]
NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""Then no ratio is learned, and all of a run is counted alike."""

policies = st.builds(
    lambda high, share, summary, recall: WindowPolicy(
        "small", high=high, low=int(high * share), summary=summary, recall=recall
    ),
    st.sampled_from([120, 220, 400]),
    st.sampled_from([0.1, 0.4, 0.7]),
    st.sampled_from([0, 60, 120]),
    st.sampled_from([0, 90, 200]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(TEXTS),
        st.sampled_from(
            ["say", "say", "say", "tools", "long loop", "edit", "regenerate", "failure", "other model"]
        ),
        st.integers(0, 99),
    ),
    min_size=4,
    max_size=20,
)


def canonical(messages) -> list[str]:
    return [json.dumps(message, ensure_ascii=False, sort_keys=True) for message in messages]


def newest_user(messages) -> int:
    return max(i for i, message in enumerate(messages) if message["role"] == "user")


class App:
    """A chat app that talks through a wrapped client, and looks at each request as the provider got it."""

    def __init__(self, memory, bare, provider, policy, sends, *, system):
        self.memory = memory
        self.client = memory.wrap(bare, user="alice", session="s")
        self.provider = provider
        self.policy = policy
        self.sends = sends
        self.settings = [SYSTEM] if system else []
        self.history = []
        self.models = {"model-a": None, "model-b": None}
        self.model = "model-a"

    def own(self, new):
        """What the app sends: the conversation, what is new, or what is new and the two rounds before."""
        if self.sends == "newest":
            return new
        if self.sends == "tail":
            users = [i for i, message in enumerate(self.history) if message["role"] == "user"]
            return self.history[users[max(-3, -len(users))] :]
        return self.history

    def call(self, new, *, kept=None):
        """One call; `kept` says how much of the conversation stood before, when something was replaced."""
        try:
            reply = self.client.chat.completions.create(
                model=self.model, messages=[*self.settings, *self.own(new)], tools=TOOLS
            )
        except openai.InternalServerError:
            reply = None
        self.check(len(self.history) if kept is None else kept)
        if reply is None:
            return None
        return {k: v for k, v in reply.choices[0].message.model_dump().items() if v is not None}

    def check(self, kept):
        request, receipt = self.provider.requests[-1], self.memory.last_receipt()
        sent = request.messages[len(self.settings) :]
        assert request.messages[: len(self.settings)] == self.settings
        start = len(self.history) - len(sent)
        self.check_window(sent, start)
        self.check_budget(sent, start)
        before = self.models[self.model]
        if before is not None and not receipt.cut:
            self.check_prefix(before, sent, start, kept)
        self.models[self.model] = sent, start

    def check_window(self, sent, start):
        """Whole rounds, and in them the conversation, but for the blocks in front of two texts."""
        assert start >= 0
        assert start == 0 or self.history[start]["role"] == "user"
        for at, (message, said) in enumerate(zip(sent, self.history[start:], strict=True)):
            if at in (0, newest_user(sent)):
                assert message["content"].endswith(said["content"])
            else:
                # Beside tool calls nothing is said as the provider wants it: "", null, or no key at all.
                assert (message.get("content") or "") == (said.get("content") or "")
            assert message.get("tool_calls") == said.get("tool_calls")

    def check_budget(self, sent, start):
        counted = sum(count_message(message, estimate) for message in sent)
        said = [count_message(message, estimate) for message in self.history[start:]]
        newest = sum(said[newest_user(sent) :])
        policy = self.policy
        # A round over the mark by itself is sent once more with the message after it.
        rounds = sum(message["role"] == "user" for message in sent)
        document = sum(said) - newest if rounds == 2 and sum(said) - newest > policy.high else 0
        assert sum(said) <= policy.high or sum(said) == newest + document
        assert counted <= max(policy.high, newest + document) + policy.summary + policy.recall

    def check_prefix(self, before, sent, start, kept):
        """Up to the text of the newest user turn of the request before, or up to what was replaced since."""
        sent_before, start_before = before
        stable = min(newest_user(sent_before), kept - start_before)
        if stable <= 0:
            return
        assert start == start_before
        assert canonical(sent)[:stable] == canonical(sent_before)[:stable]


# Without shrinking: each step is an HTTP exchange, so that would take minutes.
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(policies, steps, st.sampled_from(["all", "newest", "tail"]), st.booleans())
def test_any_conversation(policy, steps, sends, system):
    with (
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        open_memory(policy) as memory,
    ):
        memory.record([{"role": "user", "content": fact} for fact in FACTS], user="alice", session="before")
        memory.flush()
        provider.default = lambda request: Reply(f"Noted: {request.newest_user_text[-60:]}", usage=NO_USAGE)
        app = App(memory, bare, provider, policy, sends, system=system)
        for n, (text, step, number) in enumerate(steps):
            play(app, provider, f"{text} {n}" if len(text) > 3 else text, step, number)
            memory.flush()


def open_memory(policy):
    ticks = itertools.count()
    return convmem.Memory(
        InMemoryStore(),
        embedder=FakeEmbedder(),
        policy=policy,
        tz=UTC,
        clock=lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=next(ticks)),
        deadline_ms=10_000,
    )


def play(app, provider, text, step, number):
    """One round, or what an app does to one."""
    history, kept = app.history, None
    # Of the first message alone nobody can tell whether it is said again or a second time.
    users = [i for i, message in enumerate(history) if i and message["role"] == "user"]
    if step == "edit" and users and app.sends == "all":
        kept = users[number % len(users)]
        del history[kept:]
    if step == "regenerate" and users and app.sends == "all":
        kept = users[-1]
        del history[kept + 1 :]
        history.append(app.call(history[-1:], kept=kept))
        return
    if step == "other model":
        app.model = next(model for model in app.models if model != app.model)
    new = {"role": "user", "content": text}
    history.append(new)
    if step == "failure":
        provider.script(Fault.status(500))
        assert app.call([new], kept=kept) is None
        history.pop()
        return
    news = [new]
    for turn in range({"tools": 1, "long loop": 4}.get(step, 0)):
        ids = [f"call-{len(history)}-{turn}-{i}" for i in range(1 + number % 2)]
        provider.script(Reply(tool_calls=[ToolCall("f", {"n": i}, id=i) for i in ids], usage=NO_USAGE))
        asked = app.call(news, kept=kept)
        news = [{"role": "tool", "tool_call_id": i, "content": f"{text} {i}"} for i in ids]
        history += [asked, *news]
    history.append(app.call(news, kept=kept))
