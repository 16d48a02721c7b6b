"""The steps of a call, carried out by a blocking and by an async loop; no SDK."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from convmem.threads.waiting import NotReadyError
from convmem.wrap.core import Send, acarry_out, carry_out


def carried_out(kind, steps, send):
    """What the steps bring, by either loop."""
    if kind == "blocking":
        return carry_out(steps, send)

    async def sent(given):
        return send(given)

    return asyncio.run(acarry_out(steps, sent))


@pytest.fixture(params=["blocking", "async"])
def kind(request):
    return request.param


def test_each_step_brings_what_it_asks_for(kind):
    done, late = Future(), Future()
    done.set_result(None)

    def steps():
        assert (yield done, 60.0) is None
        assert isinstance((yield late, 0.0), NotReadyError)
        first = yield Send({"n": 1})
        return first, (yield Send({"n": 2}))

    assert carried_out(kind, steps(), lambda given: given["n"]) == (1, 2)


def test_what_the_sdk_raises_is_raised_where_it_was_sent(kind):
    def steps():
        try:
            yield Send({"n": 1})
        except KeyError:
            return (yield Send({"n": 2}))

    def send(given):
        if given["n"] == 1:
            raise KeyError("refused")
        return given["n"]

    assert carried_out(kind, steps(), send) == 2


def test_an_error_that_no_step_meets_is_the_sdks_own(kind):
    error = KeyError("refused")

    def steps():
        yield Send({})

    def send(given):
        raise error

    with pytest.raises(KeyError) as raised:
        carried_out(kind, steps(), send)
    assert raised.value is error


def test_an_sdk_that_is_mocked_with_too_few_replies_says_so():
    replies = iter(())

    def steps():
        return (yield Send({}))

    with pytest.raises(StopIteration):
        carry_out(steps(), lambda _: next(replies))
