"""The kit for compressors catches those that are broken, each by the test that names what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convmem.compress.extractive import Extractive
from convmem.testing.compressor import CompressorConformance

DEFECTS = []


def caught_by(test):
    def register(broken):
        DEFECTS.append((broken, test))
        return broken

    return register


@caught_by("test_a_summary_is_plain_text")
class WritesMarkdown(Extractive):
    def compress(self, request):
        return f"# Summary\n{super().compress(request)}"


@caught_by("test_the_budget_is_never_exceeded")
class CountsByItself(Extractive):
    def compress(self, request):
        return super().compress(replace(request, count=lambda text: len(text) // 8))


@caught_by("test_nothing_makes_nothing")
class NeverHasNothing(Extractive):
    def compress(self, request):
        return super().compress(request) or "Nothing happened."


@caught_by("test_without_new_turns_the_summary_stays")
@caught_by("test_the_summary_before_is_carried_on")
class Forgets(Extractive):
    def compress(self, request):
        return super().compress(replace(request, previous=""))


@caught_by("test_any_summary_before_will_do")
class KeepsAllThatIsNotItsOwn(Extractive):
    def compress(self, request):
        own = not request.previous or request.previous.startswith("2026-")
        return super().compress(request) if own else request.previous


@caught_by("test_odd_texts")
class WantsProperText(Extractive):
    def compress(self, request):
        for turn in request.turns:
            turn.text.encode()
        return super().compress(request)


@caught_by("test_same_request_same_summary")
class Wanders(Extractive):
    calls = 0

    def compress(self, request):
        self.calls += 1
        summary = super().compress(request)
        return summary[: len(summary) - self.calls % 3]


@caught_by("test_long_conversations")
class LosesCountOfManyTurns(Extractive):
    def compress(self, request):
        return super().compress(request) * (1 + len(request.turns) // 500)


@pytest.mark.parametrize(("broken", "test"), DEFECTS, ids=lambda given: getattr(given, "__name__", given))
def test_the_kit_catches_broken_compressors(broken, test):
    with pytest.raises((AssertionError, UnicodeError)):
        getattr(CompressorConformance(), test)(broken())


def test_every_test_of_the_kit_catches_one():
    assert {test for _, test in DEFECTS} == {
        name for name in vars(CompressorConformance) if name.startswith("test_")
    }
