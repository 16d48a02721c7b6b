"""What a user took back: an edit's old words never come back into the session in which it was made."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

import convmem
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing import Reply
from convmem.wire.message import text_of

ROOMY = WindowPolicy("roomy", high=4_000, low=1_000, summary=200, recall=800)
TIGHT = WindowPolicy("tight", high=150, low=60, summary=120, recall=400)


def said(role, text):
    return {"role": role, "content": text}


def opened(**options):
    ticks = itertools.count()
    start = datetime(2026, 4, 3, 9, tzinfo=UTC)
    chosen = {"embedder": "none", "policy": ROOMY, "tz": UTC, "deadline_ms": 20_000}
    return convmem.Memory(
        InMemoryStore(), clock=lambda: start + timedelta(minutes=next(ticks)), **{**chosen, **options}
    )


@pytest.fixture
def memory():
    with opened() as memory:
        yield memory


class App:
    """An app that keeps its history and sends all of it."""

    def __init__(self, client, provider):
        self.client, self.provider, self.history = client, provider, []

    def say(self, text, reply):
        self.provider.script(Reply(reply))
        asked = [*self.history, said("user", text)]
        self.client.chat.completions.create(model="m", messages=asked)
        self.history = [*asked, said("assistant", reply)]
        return self.sent

    @property
    def sent(self):
        return self.provider.requests[-1].messages


@pytest.fixture
def app(memory, bare, provider):
    return App(memory.wrap(bare, user="mara", session="s"), provider)


def newest_only(memory, bare, text, session="s"):
    memory.flush()
    client = memory.wrap(bare, user="mara", session=session)
    client.chat.completions.create(model="m", messages=[said("user", text)])


def everything(messages):
    return "\n".join(text_of(message) for message in messages)


ENGLISH = (
    ("We plan the garden party for June.", "June it is."),
    ("Invite Rowena from the pottery class.", "Rowena is on the list."),
    ("Which cake goes with the party?", "A lemon cake for Rowena."),
)
CHINESE = (
    ("我们在筹备六月的花园聚会。", "好的，六月。"),
    ("请邀请陶艺班的罗薇娜。", "罗薇娜已在名单上。"),
    ("聚会配什么蛋糕？", "给罗薇娜的柠檬蛋糕。"),
)
EDITS = (
    (ENGLISH, "Invite Quentin from the chess club.", "Who comes to the garden party?", "Rowena"),
    (CHINESE, "请邀请象棋社的昆廷。", "谁来花园聚会？", "罗薇娜"),
)


@pytest.mark.parametrize("edit", EDITS)
def test_an_app_that_edits_its_history_gets_none_of_the_old_words(app, memory, edit):
    told, instead, asked, gone = edit
    for text, reply in told:
        app.say(text, reply)
    app.history = app.history[:2]
    memory.flush()
    for text in (instead, asked):
        assert gone not in everything(app.say(text, "OK."))
        memory.flush()


@pytest.mark.parametrize("edit", EDITS)
def test_neither_does_the_newest_message_alone(app, memory, bare, provider, edit):
    told, instead, asked, gone = edit
    for text, reply in told:
        app.say(text, reply)
    app.history = app.history[:2]
    app.say(instead, "OK.")
    newest_only(memory, bare, asked)
    assert gone not in everything(provider.requests[-1].messages)
    assert instead in everything(provider.requests[-1].messages)


def test_a_pair_deleted_in_the_middle_stays_out(app, memory, bare, provider):
    for text, reply in ENGLISH:
        app.say(text, reply)
    del app.history[2:4]
    app.say("How many chairs for the party?", "Twelve.")
    newest_only(memory, bare, "Who was invited to the garden party?")
    assert "Invite Rowena" not in everything(provider.requests[-1].messages)
    assert "Which cake" in everything(provider.requests[-1].messages), "said again after the deletion"


def test_an_edited_import_takes_back_what_the_first_one_said(memory, bare, provider):
    first = [said(r, t) for pair in ENGLISH for r, t in zip(("user", "assistant"), pair, strict=True)]
    memory.record(first, user="mara", session="s")
    memory.record(
        [*first[:2], said("user", "Invite Quentin."), said("assistant", "Quentin comes.")],
        user="mara",
        session="s",
    )
    newest_only(memory, bare, "Who comes to the garden party in June?")
    assert "Rowena" not in everything(provider.requests[-1].messages)
    assert "Quentin" in everything(provider.requests[-1].messages)


def test_an_import_of_the_old_words_elsewhere_does_not_bring_them_back(app, memory, bare, provider):
    for text, reply in ENGLISH:
        app.say(text, reply)
    old, app.history = app.history, app.history[:2]
    app.say("Invite Quentin from the chess club.", "Quentin is on the list.")
    memory.record([m for m in old if m["role"] == "user"], user="mara", session="imported")
    newest_only(memory, bare, "Who is invited from the pottery class?")
    assert "Rowena from" not in everything(provider.requests[-1].messages)


def test_another_session_is_quoted_it_with_the_mark(app, memory, bare, provider):
    for text, reply in ENGLISH:
        app.say(text, reply)
    app.history = app.history[:2]
    app.say("Invite Quentin from the chess club.", "Quentin is on the list.")
    newest_only(memory, bare, "Who of the pottery class was invited?", session="other")
    block = everything(provider.requests[-1].messages)
    assert "(edited away): Invite Rowena from the pottery class." in block
    assert "on the list" not in block or "Rowena is on the list" not in block


def test_a_search_finds_it_and_says_so(app, memory):
    for text, reply in ENGLISH:
        app.say(text, reply)
    app.history = app.history[:2]
    app.say("Invite Quentin from the chess club.", "Quentin is on the list.")
    memory.flush()
    hits = {hit.turn.text: hit.why for hit in memory.recall("pottery class", user="mara")}
    assert "edited away" in hits["Invite Rowena from the pottery class."]


def test_a_rule_that_was_edited_away_is_no_rule_in_any_session(app, memory, bare, provider):
    app.say("We plan the garden party for June.", "June it is.")
    app.say("From now on always answer in rhymes.", "As you wish.")
    app.history = app.history[:2]
    app.say("From now on always answer in two sentences.", "As you wish.")
    for session in ("s", "other"):
        newest_only(memory, bare, "Which tent do we rent for the party?", session=session)
        sent = everything(provider.requests[-1].messages)
        assert "two sentences" in sent
        assert "rhymes" not in sent


def test_a_continued_response_is_not_quoted_what_its_branch_left(memory, bare, provider):
    client = memory.wrap(bare, user="mara", session="s")

    def respond(text, reply, before=None):
        provider.script(Reply(reply))
        return client.responses.create(model="m", input=text, previous_response_id=before)

    first = respond(*ENGLISH[0])
    respond(*ENGLISH[1], before=first.id)
    memory.flush()
    edited = respond("Invite Quentin from the chess club.", "Quentin is on the list.", before=first.id)
    memory.flush()
    respond("Who of the pottery class was invited?", "Nobody.", before=edited.id)
    assert "Rowena" not in str(provider.requests[-1].body)


def test_the_summary_after_an_edit_has_none_of_the_old_words(bare, provider):
    with opened(policy=TIGHT) as memory:
        app = App(memory.wrap(bare, user="mara", session="s"), provider)
        app.say("We plan the garden party for June.", "June it is.")
        app.say("We decided to invite 14 guests of the Rowena circle.", "14 guests of the Rowena circle.")
        for n in range(8):
            app.say(f"We decided to rent {n + 3} tents and {n + 20} lamps.", f"Noted: {n + 3} tents.")
            memory.flush()
        assert any("Rowena" in everything(r.messages[:1]) for r in provider.requests), "it was summarized"
        app.history = app.history[:2]
        app.say("We decided to invite 9 guests of the Quentin circle.", "9 guests.")
        for n in range(8):
            sent = app.say(f"We decided to order {n + 3} cakes and {n + 40} plates.", f"{n + 3} cakes.")
            assert "Rowena" not in everything(sent)
            memory.flush()
        assert any("Quentin" in everything(r.messages[:1]) for r in provider.requests[-8:]), (
            "it was summarized anew"
        )


def test_a_second_conversation_in_one_session_took_nothing_back(memory, bare, provider):
    memory.record(
        [said("user", "My locker code is 7719."), said("assistant", "Noted.")], user="mara", session="s"
    )
    client = memory.wrap(bare, user="mara", session="s")
    rewritten = [
        said("user", "A summary of the talk so far."),
        said("assistant", "Go on."),
        said("user", "What is my locker code?"),
    ]
    memory.flush()
    client.chat.completions.create(model="m", messages=rewritten)
    assert "7719" in everything(provider.requests[-1].messages)
