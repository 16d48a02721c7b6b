"""Whose memory a call uses: names that are none, headers, and which place counts."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.call.scope import (
    UNSET,
    Scope,
    checked_user,
    enter,
    entered,
    make_scope,
    missed,
    read_headers,
    resolve,
)
from convmem.errors import InputError, ScopeError

ANA = make_scope(user="ana")


class Memory:
    """A scope belongs to one memory; any object is one here."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": 7}, "user is a string, not int; use str(…) for a number"),
        ({"session": b"s"}, "session is a string, not bytes; use str(…) for a number"),
        ({"user": ""}, "user is empty; leave it out, or give the string by which you know it"),
        ({"session": " \n"}, "session is empty; leave it out, or give the string by which you know it"),
        ({"user": "x" * 513}, "user has 513 characters; 512 are the most"),
        ({"user": "\ud83d"}, "user has a lone surrogate and cannot be stored as text"),
        ({"mode": "of"}, "mode is one of on, off, read, write; not 'of'"),
        ({"mode": None}, "mode is one of on, off, read, write; not None"),
    ],
)
def test_names_that_are_none(given, said):
    with pytest.raises(ScopeError) as refused:
        make_scope(**given)
    assert str(refused.value) == said


def test_none_is_something_else_than_nothing():
    assert make_scope() == Scope(UNSET, UNSET, UNSET)
    assert make_scope(user=None, session=None) == Scope(None, None, UNSET)
    assert make_scope(user="x" * 512, session="渡", mode="read") == Scope("x" * 512, "渡", "read")


NAMES = st.sampled_from([UNSET, None, "ana", "bo"])
SCOPES = st.builds(Scope, NAMES, NAMES, st.sampled_from([UNSET, "on", "off"]))


@given(SCOPES, SCOPES, SCOPES)
def test_the_narrowest_that_says_something_counts(one, two, three):
    made = one.over(two).over(three)
    for field in ("user", "session", "mode"):
        said = [getattr(scope, field) for scope in (one, two, three) if getattr(scope, field) is not UNSET]
        assert getattr(made, field) == (said[0] if said else UNSET)
    assert made == one.over(two.over(three))
    assert resolve(None, two, three) == (two.over(three), None)


@pytest.mark.parametrize(
    ("headers", "scope", "kept"),
    [
        (None, Scope(), None),
        ({}, Scope(), None),
        ({"X-Team": "blue"}, Scope(), None),
        ({"x-convmem-user": "ana"}, ANA, {}),
        ({"X-ConvMem-User": "ana", "X-Team": "blue", "n": 7}, ANA, {"X-Team": "blue", "n": 7}),
        (
            {"x-convmem-session": "s", "x-convmem-mode": "read"},
            make_scope(session="s", mode="read"),
            {},
        ),
    ],
)
def test_headers(headers, scope, kept):
    before = dict(headers) if headers is not None else None
    assert read_headers(headers) == (scope, kept)
    assert headers == before


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x-convmem-user": ""}, "the header x-convmem-user is empty; leave it out, or give it a value"),
        ({"x-convmem-user": None}, "the header x-convmem-user is empty; leave it out, or give it a value"),
        (
            {"X-Convmem-Usr": "ana"},
            (
                "there is no header 'X-Convmem-Usr'; convmem's are "
                "x-convmem-user, x-convmem-session, x-convmem-mode"
            ),
        ),
        ({"x-convmem-mode": "of"}, "mode is one of on, off, read, write; not 'of'"),
        ({"x-convmem-user": "x" * 513}, "user has 513 characters; 512 are the most"),
    ],
)
def test_headers_that_name_nothing(headers, said):
    with pytest.raises(ScopeError) as refused:
        read_headers(headers)
    assert str(refused.value) == said


def test_a_scope_holds_inside_its_block_and_for_its_memory():
    memory, other = Memory(), Memory()
    with enter(memory, make_scope(user="ana", session="s")):
        assert entered(memory) == make_scope(user="ana", session="s")
        assert entered(other) == Scope()
        with enter(memory, make_scope(session=None)), enter(other, make_scope(user="bo")):
            assert entered(memory) == make_scope(user="ana", session=None)
            assert entered(other) == make_scope(user="bo")
        assert entered(memory) == make_scope(user="ana", session="s")
    assert entered(memory) == Scope()


def test_it_ends_with_an_error_too_and_other_tasks_have_their_own():
    memory = Memory()
    with pytest.raises(KeyError), enter(memory, ANA):
        raise KeyError
    assert entered(memory) == Scope()

    async def talk(user, begun, other):
        with enter(memory, make_scope(user=user)):
            begun.set()
            await other.wait()
            return entered(memory).user

    async def main():
        one, two = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(talk("ana", one, two), talk("bo", two, one))

    assert asyncio.run(main()) == ["ana", "bo"]


def elsewhere(call):
    """What a call gives in a thread of its own, where no scope was entered."""
    given = []
    thread = threading.Thread(target=lambda: given.append(call()))
    thread.start()
    thread.join()
    return given[0]


def test_a_call_that_a_scope_did_not_go_along_with_is_told():
    memory = Memory()
    assert missed(memory, None, None, "on") is None, "no scope ever named anything"
    with enter(memory, make_scope(user="ana")):
        assert missed(memory, "ana", None, "on") is None, "inside of it"
        told = elsewhere(lambda: missed(memory, None, None, "on"))
    assert "names a user in other threads" in told
    assert "names a user in" in missed(memory, None, "s", "on"), "also after its block"
    assert missed(memory, "bo", None, "on") is None, "a user was named otherwise"
    assert missed(Memory(), None, None, "on") is None, "of another memory"
    with enter(memory, make_scope(session="s", mode="off")):
        assert "names a user and session" in elsewhere(lambda: missed(memory, None, None, "on"))
        assert "names a mode" in elsewhere(lambda: missed(memory, "bo", "t", "on"))
        assert elsewhere(lambda: missed(memory, "bo", "t", "off")) is None
    assert missed(memory, "bo", "t", "on") is None, "no scope with a mode is open any more"


def test_a_generator_that_is_closed_elsewhere_ends_its_scope():
    memory = Memory()

    def talking():
        with enter(memory, make_scope(mode="off")):
            yield

    begun = talking()
    elsewhere(lambda: next(begun))
    begun.close()
    assert entered(memory) == Scope()
    assert missed(memory, "ana", "s", "on") is None


def test_pins_belong_to_a_user():
    checked_user("ana")
    with pytest.raises(InputError, match="user is None; pins belong to a user, say whose"):
        checked_user(None)
    with pytest.raises(ScopeError, match="user is empty"):
        checked_user("")
