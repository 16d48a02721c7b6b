"""Which call a response came from, and which call this context made last."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from dataclasses import dataclass, field

import pytest

from convmem.call.receipts import Receipts


@dataclass(eq=False)
class Call:
    receipt: object = None
    forgotten: list = field(default_factory=list)

    def unquote(self, ids):
        self.forgotten += ids


class Response:
    """Neither hashable nor equal to anything."""

    __hash__ = None

    def __eq__(self, other):
        raise AssertionError("nobody compares responses")


@pytest.fixture
def receipts():
    return Receipts()


def test_a_response_leads_to_its_call_for_as_long_as_it_lives(receipts):
    call, response, other = Call(), Response(), Response()
    receipts.put(response, call)
    assert receipts.get(response) is call
    assert receipts.get(other) is None
    gone = weakref.ref(call)
    del call, response
    gc.collect()
    assert gone() is None
    assert not receipts._by_id


def test_another_response_at_the_same_place_is_another(receipts):
    for _ in range(100):  # most of them come to lie where the one before lay
        response = Response()
        assert receipts.get(response) is None
        receipts.put(response, Call())
        del response


def test_a_response_that_is_a_bare_text_leads_nowhere(receipts):
    receipts.put("no JSON", Call())
    assert receipts.get("no JSON") is None


def test_a_response_that_came_again_leads_to_the_later_call(receipts):
    response, later = Response(), Call()
    receipts.put(response, Call())
    receipts.put(response, later)
    assert receipts.get(response) is later


def test_the_last_call_is_that_of_the_context(receipts):
    first, second, third = Call(), Call(), Call()
    assert receipts.last() is None
    receipts.begin(first)
    assert receipts.last() is first
    inside = contextvars.copy_context()
    inside.run(receipts.begin, second)
    assert (receipts.last(), inside.run(receipts.last)) == (first, second)
    assert contextvars.Context().run(receipts.last) is None
    receipts.begin(third)
    assert (receipts.last(), inside.run(receipts.last)) == (third, second)


def test_tasks_have_a_last_call_each(receipts):
    async def ask(call):
        receipts.begin(call)
        await asyncio.sleep(0)
        return receipts.last()

    async def main():
        calls = [Call() for _ in range(5)]
        assert await asyncio.gather(*map(ask, calls)) == calls

    asyncio.run(main())


def test_two_memories_in_one_context_keep_apart_and_one_that_is_gone_is_gone(receipts):
    other, call = Receipts(), Call()
    receipts.begin(call)
    assert other.last() is None
    other.begin(Call())
    assert receipts.last() is call
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    assert receipts.last() is call


def test_every_call_that_may_still_be_asked_is_told_what_was_forgotten(receipts):
    call, finished = Call(), Call()
    receipts.begin(finished)
    receipts.begin(call)
    receipts.forget(["t1", "t2"])
    assert call.forgotten == finished.forgotten == ["t1", "t2"]
