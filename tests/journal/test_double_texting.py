"""Several messages before an answer, answered in any order: one conversation, nothing left out of it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from convmem.journal.begin import BeginJob
from convmem.journal.digests import SeenMessages
from convmem.journal.end import EndJob
from convmem.journal.forest import Forest
from convmem.journal.placed import Call
from convmem.protocols import SessionRef, TurnsRequest
from convmem.stores.memory import InMemoryStore
from convmem.wire.values import ChatRequest, Reply

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REF = SessionRef("dora", "s")


class Messenger:
    """An app that sends each message alone, and does not wait for the reply to the one before."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.forest = Forest(self.store)
        self.names = itertools.count()

    def run(self, job):
        write = job.plan(self.forest)
        written = self.store.write([write])[0] if write is not None else None
        job.finish(written)
        if write is not None:
            self.forest.wrote(write, written)
        job.outcome.result()
        return job

    def send(self, *messages):
        call = Call(
            id=f"c{next(self.names)}",
            at=NOW,
            user="dora",
            session="s",
            fresh_session="unused",
            mode="on",
            host=None,
            request=ChatRequest((), messages),
        )
        return self.run(BeginJob(call, self.store, SeenMessages(self.store.key), written=lambda _: None))

    def answer(self, begun, text, *, complete=True):
        choices = ({"role": "assistant", "content": text},) if text else ()
        reply = Reply(choices, complete=complete)
        self.run(EndJob(begun, reply, at=NOW, error=None, quoted=(), written=lambda *_: None))

    def path(self):
        """The texts of the conversation as the next message finds it."""
        begun = self.send({"role": "user", "content": "and?"})
        tree = self.forest.tree(REF)[1]
        nodes = tree.path(begun.placement.alignment.base)
        wanted = tuple(node.identity for node in nodes if node.settled)
        turns = {t.branch: t for t in self.store.turns(TurnsRequest(ref=REF, identities=wanted))}
        return [turns[i.hex()].text for i in wanted]


def user(text):
    return {"role": "user", "content": text}


@given(st.data())
def test_all_that_was_said_stays_in_the_conversation(data):
    app = Messenger()
    app.answer(app.send(user("hello")), "re: hello")
    said, waiting = ["hello", "re: hello"], []
    for i in range(data.draw(st.integers(1, 7))):
        text = data.draw(st.sampled_from([f"message {i}", f"我的第{i}句话"]))
        waiting.append((text, app.send(user(text))))
        said.append(text)
        while waiting and data.draw(st.booleans()):
            text, begun = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            app.answer(begun, f"re: {text}")
            said.append(f"re: {text}")
    for text, begun in waiting:
        app.answer(begun, f"re: {text}")
        said.append(f"re: {text}")
    assert app.path() == said


def test_a_message_that_failed_meanwhile_leaves_the_others_where_they_are():
    app = Messenger()
    app.answer(app.send(user("hello")), "re: hello")
    first, second, third = (app.send(user(text)) for text in ("one", "two", "three"))
    app.answer(second, "")
    app.answer(third, "re: three")
    app.answer(first, "re: one")
    assert app.path() == ["hello", "re: hello", "one", "three", "re: three", "re: one"]


def test_one_of_several_is_sent_again_and_is_not_said_twice():
    app = Messenger()
    first, second = app.send(user("one")), app.send(user("two"))
    app.answer(first, "")
    again = app.send(user("one"))
    assert again.placement.alignment.kind == "repeat"
    app.answer(second, "re: two")
    app.answer(again, "re: one")
    assert app.path() == ["one", "two", "re: two", "re: one"]


def test_two_calls_with_the_same_message_at_a_time_give_two_choices():
    app = Messenger()
    app.answer(app.send(user("hello")), "re: hello")
    first, second = app.send(user("one")), app.send(user("one"))
    app.answer(first, "a")
    app.answer(second, "b")
    assert app.path() == ["hello", "re: hello", "one", "b"]


def test_results_of_tools_follow_their_call_whatever_was_said_meanwhile():
    app = Messenger()
    begun = app.send(user("weather?"))
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    reply = Reply(({"role": "assistant", "content": None, "tool_calls": calls},))
    app.run(EndJob(begun, reply, at=NOW, error=None, quoted=(), written=lambda *_: None))
    results = app.send({"role": "tool", "tool_call_id": "c1", "content": "sunny"})
    more = app.send(user("and in Oslo?"))
    app.answer(results, "sunny")
    app.answer(more, "rain")
    assert app.path() == ["weather?", "", "sunny", "and in Oslo?", "sunny", "rain"]


def test_a_half_reply_and_its_retry_are_one_answer():
    app = Messenger()
    app.answer(app.send(user("hello")), "re: hello")
    app.answer(app.send(user("tell")), "half of", complete=False)
    again = app.send(user("tell"))
    assert again.placement.alignment.kind == "regenerate"
    app.answer(again, "half of it, and the rest")
    assert app.path() == ["hello", "re: hello", "tell", "half of it, and the rest"]


def test_another_message_after_a_half_reply_continues_it():
    app = Messenger()
    app.answer(app.send(user("tell")), "half of", complete=False)
    app.answer(app.send(user("continue")), " it")
    app.answer(app.send(user("continue")), " all")
    assert app.path() == ["tell", "half of", "continue", " it", "continue", " all"]
