"""What every policy has to keep, as tests to inherit.

```python
class TestMine(PolicyConformance):
    @pytest.fixture
    def policy(self) -> Policy:
        return MyPolicy()
```
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, ClassVar, cast

from convmem.policy import Plan, PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.policy import Policy

__all__ = ["PolicyConformance"]

_ROOMS: tuple[int | None, ...] = (None, 0, 1, 900, 4_000, 32_000, 200_000)


class PolicyConformance:
    """Inherit it as a test class and override the fixture `policy`.

    Attributes:
        rounds_between_cuts: of how many calls with small rounds at most one may cut.
        seconds: how long a plan over 10,000 rounds may take.
    """

    rounds_between_cuts: ClassVar[float] = 4.0
    seconds: ClassVar[float] = 0.5

    def test_plans_are_plans(self, policy: Policy) -> None:
        """Whole numbers, none below zero."""
        for request in _requests():
            plan = cast("object", policy.plan(request))
            _check(isinstance(plan, Plan), f"{request} got {plan!r}, which is no Plan")
            for name in Plan.__slots__:
                value: object = getattr(plan, name)
                if not isinstance(value, int) or isinstance(value, bool):
                    raise AssertionError(f"{request}: {name} is {value!r}, not a whole number")  # noqa: TRY004
                _check(value >= 0, f"{request}: {name} is {value}, below zero")

    def test_same_request_same_plan(self, policy: Policy) -> None:
        """Asked again, in another order, by an equal request."""
        requests = list(_requests())
        first = [policy.plan(request) for request in requests]
        again = [
            policy.plan(PolicyRequest((*request.rounds,), request.start, request.room))
            for request in reversed(requests)
        ]
        for request, one, other in zip(requests, first, reversed(again), strict=True):
            _check(one == other, f"{request} got {one}, then {other}")

    def test_the_newest_round_is_always_sent(self, policy: Policy) -> None:
        """The window never starts after it, however large it is."""
        for request in _requests():
            start = policy.plan(request).start
            newest = max(0, len(request.rounds) - 1)
            _check(start <= newest, f"{request}: starts at {start}, after the newest round")

    def test_what_left_the_window_stays_out(self, policy: Policy) -> None:
        """Putting rounds back would change the front of the request, where the cache is."""
        for request in _requests():
            start = policy.plan(request).start
            _check(start >= request.start, f"{request}: starts at {start}, before the epoch's window")

    def test_the_budget_is_never_exceeded(self, policy: Policy) -> None:
        """Window, summary and recall fit the room; only the newest round may be larger by itself."""
        for request in _requests():
            if request.room is None:
                continue
            plan = policy.plan(request)
            kept = request.rounds[plan.start :]
            extra = plan.summary + plan.recall
            if sum(kept) > request.room:
                _check(len(kept) <= 1, f"{request}: {plan} keeps more rounds than fit")
                _check(extra == 0, f"{request}: {plan} adds to a round that does not even fit alone")
            else:
                _check(sum(kept) + extra <= request.room, f"{request}: {plan} is more than fits")

    def test_a_cut_is_enough(self, policy: Policy) -> None:
        """The same request with the start it was given is not cut again."""
        for request in _requests():
            plan = policy.plan(request)
            again = policy.plan(PolicyRequest(request.rounds, plan.start, request.room))
            _check(again == plan, f"{request} got {plan}, and with that start {again}")

    def test_nothing_is_cut_that_is_small(self, policy: Policy) -> None:
        """A first round stays, and so does a window of nothing."""
        for rounds in ((), (1,), (0, 0, 0)):
            plan = policy.plan(PolicyRequest(rounds, 0, 100_000))
            _check(plan.start == 0, f"rounds of {rounds} tokens were cut to start at {plan.start}")

    def test_stable_until_the_mark(self, policy: Policy) -> None:
        """What was not cut with one more round was not cut before it either."""
        for room in _ROOMS:
            for tokens in (7, 120, 900):
                cuts = [
                    count
                    for count in range(1, 200)
                    if policy.plan(PolicyRequest((tokens,) * count, 0, room)).start > 0
                ]
                steady = cuts == list(range(cuts[0], 200)) if cuts else True
                _check(steady, f"rounds of {tokens} in a room of {room}: cut at some lengths only: {cuts}")

    def test_cuts_are_rare(self, policy: Policy) -> None:
        """In a conversation of short rounds most requests begin with the one before them."""
        for room in (None, 32_000, 200_000):
            source = random.Random(17)  # noqa: S311 - the same conversation each time
            rounds: tuple[int, ...] = ()
            start = cuts = 0
            for _ in range(1_000):
                rounds = (*rounds, source.randint(10, 120))
                plan = policy.plan(PolicyRequest(rounds, start, room))
                cuts += plan.start > start
                start = plan.start
            _check(
                cuts * self.rounds_between_cuts <= len(rounds),
                f"{cuts} cuts in {len(rounds)} short rounds with a room of {room}",
            )

    def test_long_conversations(self, policy: Policy) -> None:
        """A plan is made before each call, so it has to be quick."""
        request = PolicyRequest((100,) * 10_000, 0, 128_000)
        started = time.monotonic()
        policy.plan(request)
        took = time.monotonic() - started
        _check(took < self.seconds, f"10,000 rounds took {took:.2f} s")


def _requests() -> Iterator[PolicyRequest]:
    """The same many requests each time: chats and odd ones, in every room, from several starts."""
    source = random.Random(7)  # noqa: S311 - the same requests each time
    branches: list[tuple[int, ...]] = [
        (),
        (0,),
        (5,),
        (10**9,),
        (0, 0, 0),
        (10**9, 3),
        (3, 10**9),
        (1,) * 300,
    ]
    for most in (20, 400, 5_000, 60_000):
        branches += [tuple(source.randint(0, most) for _ in range(count)) for count in (1, 2, 9, 80)]
    for rounds in branches:
        newest = max(0, len(rounds) - 1)
        for start in sorted({0, newest // 2, newest}):
            for room in _ROOMS:
                yield PolicyRequest(rounds, start, room)


def _check(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise AssertionError(message)
