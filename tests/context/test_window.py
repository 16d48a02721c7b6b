"""The window and the assembly as functions of what was gathered: no store, no threads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from convmem.abilities import Epoch, EpochRef
from convmem.context.assemble import assemble, question_of, riding_pins, sealed
from convmem.context.cut import Leaving, Summary, summarized
from convmem.context.frame import frame_of
from convmem.context.gather import Gathered, Late
from convmem.context.memo import Said
from convmem.context.request import Block
from convmem.context.window import decide, leaving_behind
from convmem.errors import ConvmemError
from convmem.journal.align import Alignment
from convmem.journal.digests import SeenMessages
from convmem.journal.placed import Placement
from convmem.policy import Plan, WindowPolicy
from convmem.protocols import SessionRef
from convmem.providers.dialects import resolve_dialects
from convmem.testing.compressor import turns as journaled
from convmem.wire.values import ChatRequest, Held

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = SessionRef("alice", "s")
WHICH = EpochRef(REF, "api.openai.com", "gpt-4o")
SAFE = resolve_dialects(None).of(None, None, NOW)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000}}
NOTHING = Block("", (), 0, None)


class Failing:
    """A compressor that fails."""

    def compress(self, request):
        raise ValueError(f"it cannot write {request.tokens} tokens")


def count(text):
    """A token a word, so that every budget of these tests can be told by counting."""
    return len(text.split())


def user(text):
    return {"role": "user", "content": text}


def reply(text):
    return {"role": "assistant", "content": text}


def framed(*own, policy=None, limit=None, settings=(), budget=None, dialect=SAFE, **asked):
    seen = SeenMessages(b"key")
    identities = tuple(f"own {n}".encode() for n in range(len(own)))
    where = Alignment("continue", b"", identities, 0)
    placement = Placement(REF, where, (), (), tuple(map(seen.of, own)), {})
    return frame_of(
        ChatRequest(settings, own, model="gpt-4o", **asked),
        placement,
        policy=policy or WindowPolicy("roomy", high=4_000, low=1_000, summary=100, recall=500),
        which=WHICH,
        dialect=dialect,
        count=count,
        seen=seen,
        limit=limit,
        now=NOW,
        budget=budget,
    )


def gathered(frame, *earlier, **more):
    """What was said before, as turns `0`, `1`, `2` …, an hour apart."""
    items = tuple(frame.item(str(n).encode(), message) for n, message in enumerate(earlier))
    said = {item.identity: Said(item.message, NOW + timedelta(hours=n)) for n, item in enumerate(items)}
    return Gathered(earlier=items, said=said, **more)


def sent(window):
    return [item.message for item in window.items]


def decided(frame, found):
    decision = decide(frame, found)
    return decision, decision.window(frame, found)


ROUNDS = [user("one"), reply("first"), user("two"), reply("second")]


def test_a_window_that_fits_is_the_whole_conversation():
    frame = framed(user("three"))
    decision, window = decided(frame, gathered(frame, *ROUNDS))
    assert sent(window) == [*ROUNDS, user("three")]
    assert decision.leaving is None
    assert window.complete
    assert window.newest.message == user("three")
    assert [item.own for item in window.items] == [False] * 4 + [True]


def test_a_full_window_says_which_rounds_leave():
    policy = WindowPolicy("small", high=18, low=8, summary=9, recall=0)
    frame = framed(user("three"), policy=policy)
    found = gathered(frame, *ROUNDS)
    decision = decide(frame, found)
    assert decision.leaving == Leaving(b"own 0", (b"0", b"1", b"2", b"3"), 9, Summary(), "three")
    cut = decision.window(frame, found, Summary("what was said"), ("noted",))
    assert (sent(cut), cut.cut, cut.notes) == ([user("three")], 2, ("noted",))
    assert cut.summary == Summary("what was said")
    uncut = decision.window(frame, found, None, ("it is tried again",))
    assert (sent(uncut), uncut.cut) == ([*ROUNDS, user("three")], 0), "once more as it was"


def test_a_window_begins_where_its_epoch_does():
    frame = framed(user("three"))
    kept = Summary("of the first round").dumped()
    _, window = decided(frame, gathered(frame, *ROUNDS, epoch=Epoch(b"2", kept)))
    assert sent(window) == [*ROUNDS[2:], user("three")]
    assert window.summary == Summary("of the first round")


@pytest.mark.parametrize(
    ("free", "high", "used"), [(True, 4_000, True), (False, 4_000, False), (False, 18, True)]
)
def test_what_a_late_compressor_wrote_is_used_where_that_costs_no_cache(free, high, used):
    frame = framed(user("three"), policy=WindowPolicy("p", high=high, low=8, summary=9, recall=0))
    epoch = Epoch(b"0", Summary("in its place").dumped())
    late = Late(Summary("the late one"), free)
    decision = decide(frame, gathered(frame, *ROUNDS, epoch=epoch, late=late))
    assert decision.before == Summary("the late one" if used else "in its place")
    assert (decision.leaving is not None) == (high < 4_000)


def test_an_epoch_of_another_branch_counts_for_nothing():
    frame = framed(user("three"))
    found = gathered(frame, *ROUNDS, epoch=Epoch(b"elsewhere", Summary("words").dumped()))
    _, window = decided(frame, found)
    assert sent(window) == [*ROUNDS, user("three")]
    assert window.summary == Summary()


def test_rounds_that_a_provider_refused_are_not_sent():
    frame = framed(user("three"))
    _, window = decided(frame, gathered(frame, *ROUNDS, refused=frozenset({b"1"})))
    assert sent(window) == [*ROUNDS[2:], user("three")]
    assert not window.complete


def test_what_is_missing_from_the_store_is_told():
    frame = framed(user("three"))
    assert not decided(frame, gathered(frame, *ROUNDS[2:], whole=False))[1].complete


def test_a_reply_too_long_for_a_small_model_is_put_back_by_its_beginning():
    long = reply("word " * 2_000)
    frame = framed(user("three"), limit=1_000, max_output=100)
    _, window = decided(frame, gathered(frame, user("one"), long))
    assert window.items[1].message["content"].endswith("\n[…]")
    assert len(window.items[1].message["content"]) < 2_100


def test_the_oldest_pictures_leave_with_the_day_on_which_they_were_sent():
    pictures = [{"role": "user", "content": [{"type": "text", "text": "look"}, PICTURE]} for _ in range(12)]
    said = [message for picture in pictures for message in (picture, reply("I see"))]
    frame = framed(user("three"))
    found = gathered(frame, *said)
    _, window = decided(frame, found)
    marks = [m for m in sent(window) if "[image, 1 March 2026]" in str(m)]
    assert len(marks) == window.media_left > 0
    assert marks == sent(window)[: 2 * len(marks) : 2], "the oldest"


def test_a_history_that_the_provider_keeps_is_not_sent_again():
    frame = framed(user("three"), held=Held(response="resp_1"))
    _, window = decided(frame, gathered(frame, *ROUNDS, held=frozenset({"t1"})))
    assert sent(window) == [user("three")]
    assert question_of(frame, gathered(frame, held=frozenset({"t1"})), window, window.newest).exclude == {
        "t1"
    }


@pytest.mark.parametrize("plan", [Plan(3, 0, 0), Plan(0, -1, 0), None])
def test_a_plan_that_cannot_be_is_refused_with_the_policys_name(plan):
    class Odd:
        name = "odd"

        def plan(self, request):
            return plan if request.rounds else None

    frame = framed(user("three"), policy=Odd())
    with pytest.raises(ConvmemError, match="policy 'odd'"):
        decide(frame, gathered(frame, *ROUNDS))


def test_what_leaves_when_nothing_before_the_newest_round_may_be_sent():
    frame = framed(user("three"))
    found = gathered(frame, *ROUNDS)
    leaving = leaving_behind(frame, found, b"own 0")
    assert (leaving.start, leaving.turns) == (b"own 0", (b"0", b"1", b"2", b"3"))
    assert leaving_behind(frame, found, b"0") is None, "nothing stands before it"


def test_a_summary_carries_the_newest_pins_that_fit_and_reads_nothing_without_room():
    def never(turns):
        raise AssertionError(turns)

    class Unused:
        def compress(self, request):
            raise AssertionError(request)

    leaving = Leaving(b"x", (b"0",), 60, Summary(), "three")
    pins = ("an older pin of far too many words " * 4, "be brief")
    summary, notes = summarized(leaving, lambda _: journaled([("user", "word")]), pins, Failing(), count)
    assert summary.pins == ("be brief",)
    assert "sentences were extracted" in notes[0]
    assert (
        summarized(Leaving(b"x", (b"0",), 0, Summary(), "three"), never, (), Unused(), count)[0] == Summary()
    )


def test_a_request_is_its_settings_the_summary_the_window_and_what_is_recalled():
    settings = ({"role": "system", "content": "Be brief."},)
    frame = framed(user("three"), settings=settings)
    found = gathered(frame, *ROUNDS, epoch=Epoch(b"2", Summary("of before").dumped()))
    _, window = decided(frame, found)
    block = Block("<memory>quoted</memory>", (), 1, 0)
    made = assemble(frame, window, block, notes=["noted"], told=["told"], ms={})
    messages = made.composed.messages
    assert messages[0] == settings[0]
    assert messages[1]["content"] == f"{Summary('of before').block()}\n\ntwo"
    assert messages[2] == reply("second")
    assert messages[3]["content"] == "<memory>quoted</memory>\n\nthree"
    assert made.composed.tokens.total == sum(made.sent.tokens)
    assert (made.composed.restored, made.composed.dropped) == (2, 0)
    assert made.composed.notes == ["noted", "told"]
    assert made.composed.told == {"told"}


def test_where_nothing_is_added_the_callers_own_messages_are_sent():
    frame = framed(user("one"), reply("first"), user("two"))
    _, window = decided(frame, gathered(frame))
    made = assemble(frame, window, NOTHING, notes=[], told=[], ms={})
    assert made.composed.messages is None
    assert list(made.sent.messages) == [user("one"), reply("first"), user("two")]


def test_a_second_request_shares_all_but_its_newest_text_with_the_first():
    frame = framed(user("three"))
    _, window = decided(frame, gathered(frame, *ROUNDS))
    first = assemble(frame, window, NOTHING, notes=[], told=[], ms={}).sent
    frame = framed(user("four"))
    _, window = decided(frame, gathered(frame, *ROUNDS, user("three"), reply("third")))
    second = assemble(frame, window, NOTHING, notes=[], told=[], ms={}).sent
    assert second.messages[: len(first.messages)] == first.messages
    assert second.shared(first, count) == first.total


@pytest.mark.parametrize("word", [True, False])
def test_json_mode_keeps_the_word_json(word):
    said = {"role": "user", "content": "as JSON please"}
    policy = WindowPolicy("small", high=8, low=2, summary=0, recall=0)
    rules = replace(SAFE, json_word=word)
    before = [said, reply("{}"), user("and"), reply("{}")]
    frame = framed(*before, user("now"), policy=policy, json_mode=True, dialect=rules)
    found = gathered(frame)
    decision = decide(frame, found)
    window = decision.window(frame, found, Summary())
    assert sent(window) == [user("and"), reply("{}"), user("now")]
    composed = assemble(frame, window, NOTHING, notes=[], told=[], ms={}).composed
    assert composed.messages == (None if word else sent(window))
    assert composed.dropped == (0 if word else 2)


def test_pins_ride_in_front_of_the_newest_turn_unless_the_summary_has_them():
    frame = framed(user("three"))
    found = gathered(frame, *ROUNDS, epoch=Epoch(b"2", Summary("", ("one pin",)).dumped()))
    _, window = decided(frame, found)
    pins = ("one pin", "another pin", "long " * 1_000)
    assert riding_pins(frame, pins, window, today=NOW.date(), chinese=False) == (("another pin",), 1)


def test_a_sealed_call_goes_out_as_it_was_made():
    composed = sealed(framed(user("three")))
    assert composed.messages is None
    assert composed.told == set(composed.notes)
    assert composed.tokens.new == composed.tokens.total > 0
