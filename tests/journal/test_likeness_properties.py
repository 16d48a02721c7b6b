"""Random conversations: what comes back changed is one turn, what a user changed is another.

The conversations are those of `benchmarks/redressed.py`, which tries a thousand of each kind; here are fewer.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import redressed

pytestmark = pytest.mark.slow

WHO = ("both", "user", "nobody")
FEW = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def room():
    opened, close = redressed.opened()
    yield opened
    close()


@FEW
@given(seed=st.integers(0, 2**32), who=st.sampled_from(WHO))
def test_conversations_in_other_clothes_are_one_session_with_one_turn_for_each_saying(room, seed, who):
    outcome = redressed.redressed(random.Random(seed), room, f"redressed-{seed}-{who}-", who)
    assert outcome.sound, outcome


@FEW
@given(seed=st.integers(0, 2**32), who=st.sampled_from(WHO))
def test_edits_other_answers_and_repeated_words_are_turns_of_their_own(room, seed, who):
    outcome = redressed.changed(random.Random(seed), room, f"changed-{seed}-{who}-", who)
    assert outcome.sound, outcome
