"""Policies: what they send, when they cut, how they are written down."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.errors import InputError
from convmem.policy import PRESETS, Plan, Policy, PolicyRequest, WindowPolicy, resolve_policy
from convmem.testing.policy import PolicyConformance


class TestPresets(PolicyConformance):
    @pytest.fixture(params=sorted(PRESETS))
    def policy(self, request):
        return PRESETS[request.param]


class TestSmall(PolicyConformance):
    @pytest.fixture
    def policy(self):
        return WindowPolicy("small", high=700, low=1, summary=40, recall=60)


MARKS = WindowPolicy("marks", high=100, low=40, summary=10, recall=20)


def plan(*rounds, start=0, room=None, policy=MARKS):
    return policy.plan(PolicyRequest(rounds, start, room))


def test_the_window_stays_up_to_the_high_mark_and_is_cut_to_the_low_one():
    assert plan(*[10] * 10) == Plan(0, 0, 20)
    assert plan(*[10] * 11) == Plan(7, 10, 20)
    assert plan(*[10] * 17, start=7) == Plan(7, 10, 20)
    assert plan(*[10] * 18, start=7).start == 14


def test_a_window_that_a_branch_made_small_is_not_filled_again():
    assert plan(10, 10, 10, start=2).start == 2
    assert plan(10, 10, start=5).start == 1


def test_the_newest_round_goes_out_whole_and_alone_if_it_must():
    assert plan(50, 50, 999) == Plan(2, 10, 20)
    assert plan(999) == Plan(0, 0, 20)


def test_a_document_over_the_mark_is_sent_with_the_message_after_it():
    assert plan(10, 101, 20) == Plan(1, 10, 20)
    assert plan(10, 101, 20, 20).start == 2, "and leaves with the next"
    assert plan(10, 101, 20, room=120).start == 2, "unless the model has no room for both"
    assert plan(10, 100, 20).start == 2, "a round that fits the mark leaves as any other"


def test_a_small_model_cuts_earlier_and_keeps_the_same_share():
    assert plan(*[5] * 10, room=80).start == 0
    assert plan(*[5] * 11, room=80).start == 7  # 50 fit beside summary and recall; 20 of them are kept


def test_recall_then_summary_make_way_for_a_large_newest_round():
    assert plan(10, 60, room=75) == Plan(1, 10, 5)
    assert plan(10, 70, room=75) == Plan(1, 5, 0)
    assert plan(10, 90, room=75) == Plan(1, 0, 0)
    assert plan(10, 90, room=-5) == Plan(1, 0, 0)


def test_full_sends_everything_the_model_takes():
    full = PRESETS["full"]
    assert plan(*[1_000] * 5_000, policy=full) == Plan(0, 0, 1_024)
    assert plan(*[1_000] * 99, policy=full, room=100_100).start == 0
    cut = plan(*[1_000] * 100, policy=full, room=100_100)
    assert 66 <= cut.start < 70


def test_the_table_of_presets():
    assert {name: dataclasses.astuple(policy)[1:] for name, policy in PRESETS.items()} == {
        "full": (None, None, 0, 1_024, 100, 16_000_000),
        "window": (16_000, 6_000, 0, 0, 8, 4_000_000),
        "lean": (4_000, 1_500, 300, 512, 2, 1_000_000),
        "balanced": (24_000, 8_000, 600, 1_024, 8, 4_000_000),
        "thorough": (48_000, 16_000, 1_500, 4_096, 16, 12_000_000),
    }
    assert all(isinstance(policy, Policy) for policy in PRESETS.values())


tokens = st.integers(0, 3_000)
policies = st.builds(
    lambda low, gap, summary, recall, limited: WindowPolicy(
        "p", high=low + gap if limited else None, low=low, summary=summary, recall=recall
    ),
    tokens,
    st.integers(1, 3_000),
    tokens,
    tokens,
    st.booleans(),
)


@given(policies, st.lists(st.integers(0, 900), min_size=1, max_size=60), st.none() | st.integers(0, 9_000))
def test_a_conversation_under_any_marks(policy, rounds, room):
    start = 0
    for count in range(1, len(rounds) + 1):
        said = tuple(rounds[:count])
        found = policy.plan(PolicyRequest(said, start, room))
        assert start <= found.start < count
        kept = sum(said[found.start :])
        mark = policy._mark(room)
        document = found.start == count - 2 and mark is not None and said[-2] > mark
        if found.start > start and found.start < count - 1 and not document:
            assert kept <= policy.low
        if policy.high is not None and found.start < count - 1 and not document:
            assert kept <= policy.high
        if room is not None:
            assert found.summary + found.recall <= max(0, room - kept)
            assert kept <= room or found.start == count - 1
        start = found.start


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
    st.none() | st.integers(10, 10**12),
    st.none() | st.integers(0, 9),
    tokens,
    tokens,
)
def test_toml_there_and_back(name, high, low, summary, recall):
    policy = WindowPolicy(name, high, low, summary, recall, media=summary, media_bytes=recall)
    assert WindowPolicy.from_toml(policy.to_toml()) == policy


def test_toml_reads_well():
    assert WindowPolicy('客服 "A"', high=8_000).to_toml() == (
        'name = "客服 \\"A\\""\nhigh = 8000\n# low is not set: a third of the mark\nsummary = 0\nrecall = 0\n'
        "media = 8\nmedia_bytes = 4000000\n"
    )


@pytest.mark.parametrize(
    "key", [each.name for each in dataclasses.fields(WindowPolicy) if each.name != "name"]
)
def test_every_figure_is_written_down_and_checked(key):
    """Wherever it has to be named again: in the TOML, and among the numbers that are looked at."""
    assert f"{key} " in WindowPolicy("a").to_toml()
    assert WindowPolicy.from_toml(WindowPolicy("a", **{key: 7}).to_toml()) == WindowPolicy("a", **{key: 7})
    for value in (-1, True, "7"):
        with pytest.raises(InputError, match=f"'a': {key} "):
            WindowPolicy("a", **{key: value})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not TOML"),
        ('name = "a"\nhihg = 3\nlow_water = 1', "no 'hihg', 'low_water'; its keys are 'name', 'high'"),
        ("high = 3", "needs a name"),
        ("name = 7", "not 7"),
        ('name = " "', "printable"),
        ('name = "a"\nhigh = 10\nlow = 10', r"low \(10\) must be less than high \(10\)"),
        ('name = "a"\nhigh = 0', "high must be more than 0, not 0"),
        ('name = "a"\nrecall = -1', "recall must be 0 or more, not -1"),
        ('name = "a"\nrecall = true', "whole number of tokens, not True"),
        ('name = "a"\nhigh = 1.5', "whole number of tokens, not 1.5"),
        ('name = "a"\nhigh = "16k"', "whole number of tokens, not '16k'"),
        ('name = "a"\nmedia = -1', "media must be 0 or more, not -1"),
        ('name = "a"\nmedia = true', "whole number of pictures and files, not True"),
        ('name = "a"\nmedia_bytes = "4MB"', "whole number of bytes, not '4MB'"),
    ],
)
def test_a_policy_that_cannot_be_one_says_why(text, says):
    with pytest.raises(InputError, match=says):
        WindowPolicy.from_toml(text)


def test_names_objects_and_files_resolve(tmp_path):
    class Mine:
        def plan(self, request: PolicyRequest) -> Plan:
            return Plan(request.start, 0, 0)

    class Pictures(Mine):
        media = 3
        media_bytes = -1

    mine = Mine()
    with pytest.raises(InputError, match="Pictures: media_bytes is a whole number, 0 or more, not -1"):
        resolve_policy(Pictures())
    assert resolve_policy("lean") is PRESETS["lean"]
    assert resolve_policy(mine) is mine
    file = tmp_path / "ours.toml"
    ours = WindowPolicy("ours", high=5, low=2)
    file.write_text("\ufeff" + ours.to_toml(), encoding="utf-8")
    assert resolve_policy(file) == ours
    assert resolve_policy(str(file)) == ours


def test_what_does_not_resolve_says_why(tmp_path):
    with pytest.raises(InputError, match=r"Did you mean 'balanced'.*'full', 'window'"):
        resolve_policy("ballanced")
    with pytest.raises(InputError, match="No policy is called ''"):
        resolve_policy("")
    with pytest.raises(InputError, match=r"missing\.toml"):
        resolve_policy(tmp_path / "missing.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes\.toml"):
        resolve_policy(str(tmp_path / "bytes.toml"))
    with pytest.raises(InputError, match="could be read"):
        resolve_policy("a\0.toml")
    with pytest.raises(InputError, match="is a class"):
        resolve_policy(WindowPolicy)
    with pytest.raises(InputError, match="int has none"):
        resolve_policy(7)


def newest(request):
    return max(0, len(request.rounds) - 1)


@pytest.mark.parametrize(
    ("test", "broken"),
    [
        ("the_newest_round_is_always_sent", lambda r: Plan(len(r.rounds), 0, 0)),
        ("what_left_the_window_stays_out", lambda _: Plan(0, 0, 0)),
        ("the_budget_is_never_exceeded", lambda r: Plan(r.start, 0, 0)),
        ("the_budget_is_never_exceeded", lambda r: Plan(newest(r), 0, 900)),
        ("cuts_are_rare", lambda r: Plan(max(r.start, newest(r) - 2), 0, 0)),
        ("nothing_is_cut_that_is_small", lambda r: Plan(newest(r), 0, 0)),
        ("a_cut_is_enough", lambda r: Plan(min(r.start + 1, newest(r)), 0, 0)),
        ("plans_are_plans", lambda r: Plan(r.start, -1, 0)),
        ("plans_are_plans", lambda r: Plan(r.start, 0, 0.5)),
        ("plans_are_plans", lambda r: (r.start, 0, 0)),
        ("same_request_same_plan", lambda r: Plan(r.start, 0, id(r))),
        ("stable_until_the_mark", lambda r: Plan(len(r.rounds) // 2 * (len(r.rounds) % 5 == 4), 0, 0)),
    ],
)
def test_the_kit_catches_broken_policies(test, broken):
    class Broken:
        def plan(self, request):
            return broken(request)

    with pytest.raises(AssertionError):
        getattr(PolicyConformance(), f"test_{test}")(Broken())
