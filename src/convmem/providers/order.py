"""The order of messages that are put back, among each other and among the caller's own; pure.

The place of each depends on nothing but the messages around it, so that a request begins with the same
bytes as the one before it. A caller's own message is never moved, changed or left out, but for the text
that goes in front of it where two users' messages have to be one.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from convmem.providers.putback import OPEN, THOUGHTS, says_something, signed
from convmem.wire.message import SETTINGS_ROLES, calls_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.providers.profile import Profile
    from convmem.wire.values import Message

__all__ = ["arranged", "kept"]

_ID_LENGTH: Final = 9
"""Of an id that stands for one the provider does not take: Mistral's length, which all others take too."""


class _Placed(NamedTuple):
    """A message that goes out.

    Attributes:
        at: its place among the messages given.
        message: its form there.
        from_caller: the caller sent it; else memory puts it back.
    """

    at: int
    message: Message
    from_caller: bool

    @property
    def role(self) -> object:
        return self.message.get("role")


def kept(rules: Profile, messages: Sequence[tuple[Message, bool]]) -> list[tuple[int, Message]]:
    """The messages that may go out, each with its place among those given, in the order in which they go."""
    return [(placed.at, placed.message) for placed in _kept(rules, messages)]


def _kept(rules: Profile, messages: Sequence[tuple[Message, bool]]) -> list[_Placed]:
    placed = _answered(rules, messages)
    if rules.first == "user":
        placed = _from_user(rules, placed)
    return _before_users(placed) if rules.after_tool == "assistant" else placed


# Calls and their results.


def _answered(rules: Profile, messages: Sequence[tuple[Message, bool]]) -> list[_Placed]:
    """Calls that were answered, each with its results right behind it; what belongs to no call is gone."""
    calls = [() if from_caller else _calls(message) for message, from_caller in messages]
    asked, told = _places(calls), _places([_answers(message) for message, _ in messages])
    placed: list[_Placed] = []
    for at, (message, from_caller) in enumerate(messages):
        if from_caller:
            placed.append(_Placed(at, message, from_caller=True))
        elif message.get("role") == "tool":
            continue  # it stands behind its call, or nobody called
        elif not calls[at]:
            if _belongs(message, placed):
                placed.append(_Placed(at, message, from_caller=False))
        else:
            found = {call: _result_of(call, at, asked, told) for call in calls[at]}
            results = {call: i for call, i in found.items() if i is not None}
            if (whole := _with_calls(rules, message, results)) is not None:
                placed.append(_Placed(at, whole, from_caller=False))
            behind = sorted(i for i in results.values() if not messages[i][1])
            placed += [_Placed(i, messages[i][0], from_caller=False) for i in behind]
    return placed


def _calls(message: Message) -> tuple[str, ...]:
    return calls_of(message) if message.get("tool_calls") else ()  # most messages make none


def _answers(message: Message) -> tuple[str, ...]:
    call_id: object = message.get("tool_call_id")
    return (call_id,) if message.get("role") == "tool" and isinstance(call_id, str) else ()


def _places(ids: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Where each id stands, in order."""
    places: dict[str, list[int]] = {}
    for at, named in enumerate(ids):
        for each in named:
            places.setdefault(each, []).append(at)
    return places


def _result_of(
    call: str, at: int, asked: Mapping[str, list[int]], told: Mapping[str, list[int]]
) -> int | None:
    """The first result of a call, before the same id is called again: some models count from 0 each time."""
    results = told.get(call, [])
    after = bisect_right(results, at)
    if after == len(results):
        return None
    again = asked[call][bisect_right(asked[call], at) :]
    return results[after] if not again or results[after] < again[0] else None


def _with_calls(rules: Profile, message: Message, answered: Mapping[str, int]) -> Message | None:
    """The message with those of its calls that were answered; None when nothing else is in it."""
    wanted = set(answered)
    made: list[Message] = []
    for call in cast("list[Message]", message["tool_calls"]):
        if call.get("id") in wanted:
            wanted.discard(call["id"])  # of two calls under one id the first
            made.append(call)
    if len(made) == len(message["tool_calls"]):
        return message
    if made:
        return {**message, "tool_calls": signed(rules, made)}
    said = {key: value for key, value in message.items() if key != "tool_calls"}
    return said if says_something(said) else None


def _belongs(message: Message, placed: Sequence[_Placed]) -> bool:
    """Whether a message without `tool_calls` may stand here: a `function` message only behind its call."""
    if message.get("role") != "function":
        return True
    before = placed[-1].message if placed else {}
    return before.get("function_call") is not None


# What some dialects ask of the order.


def _from_user(rules: Profile, placed: list[_Placed]) -> list[_Placed]:
    """Without what was put back before the first user's message."""
    n = 0
    while n < len(placed) and not placed[n].from_caller and _placed_role(rules, placed[n].message) != "user":
        n += 1
    return placed[n:]


def _before_users(placed: list[_Placed]) -> list[_Placed]:
    """Without results that a user's message follows: the reply to them is missing, and nothing is made up."""
    made: list[_Placed] = []
    for each in placed:
        if each.role not in {"assistant", "tool"}:
            _unwind(made)
        made.append(each)
    return made


def _unwind(made: list[_Placed]) -> None:
    """Take away results at the end, and their calls; words beside the calls stay."""
    while made and made[-1].role == "tool" and not made[-1].from_caller:
        while made and made[-1].role == "tool" and not made[-1].from_caller:
            made.pop()
        asked = made.pop()
        said = {key: value for key, value in asked.message.items() if key != "tool_calls"}
        if asked.from_caller or says_something(said):
            made.append(asked if asked.from_caller else asked._replace(message=said))


# Putting them in their places.


def arranged(rules: Profile, messages: Sequence[tuple[Message, bool]]) -> list[Message]:
    """The messages in the order in which they go out, made one where they have to be."""
    ready = _kept(rules, messages)
    if rules.call_ids != ".*":
        ready = _renamed(rules, ready)
    made: list[Message] = []
    open_ended = mergeable = False
    for _, message, from_caller in ready:
        said = message if from_caller else _as_placed(rules, message)
        glue = "" if open_ended else "\n\n" if rules.same_role == "merge" else None
        if mergeable and glue is not None and _may_join(made[-1], said, from_caller=from_caller):
            made[-1] = _joined(made[-1], said, glue)
        else:
            made.append(said)
        open_ended = not from_caller and any(message.get(mark) is True for mark in OPEN)
        mergeable = not from_caller
    return made


def _placed_role(rules: Profile, message: Message) -> object:
    role = message.get("role")
    return "user" if rules.late_system == "user" and role in SETTINGS_ROLES else role


def _as_placed(rules: Profile, message: Message) -> Message:
    """A message that is put back, where it stands: no late system message, no reply to be continued."""
    role = _placed_role(rules, message)
    if role != message.get("role"):
        return {**message, "role": role}
    if any(mark in message for mark in OPEN):
        return {key: value for key, value in message.items() if key not in OPEN}
    return message


def _renamed(rules: Profile, placed: list[_Placed]) -> list[_Placed]:
    """With ids that the provider takes, the same for a call and its result.

    Ids that the caller's own messages name stay: the caller knows no others.
    """
    callers_ids = {
        each
        for _, message, from_caller in placed
        if from_caller
        for each in (*_calls(message), *_answers(message))
    }
    return [
        each
        if each.from_caller
        else each._replace(message=_with_ids(each.message, rules.call_ids, callers_ids))
        for each in placed
    ]


def _with_ids(message: Message, pattern: str, callers_ids: set[str]) -> Message:
    if answered := _answers(message):
        named = answered[0] if answered[0] in callers_ids else _legal_id(answered[0], pattern)
        return message if named == answered[0] else {**message, "tool_call_id": named}
    ids = _calls(message)
    legal = {call: call if call in callers_ids else _legal_id(call, pattern) for call in ids}
    if all(call == named for call, named in legal.items()):
        return message
    calls = [{**call, "id": legal[call["id"]]} for call in cast("list[Message]", message["tool_calls"])]
    return {**message, "tool_calls": calls}


def _legal_id(call_id: str, pattern: str) -> str:
    if re.fullmatch(pattern, call_id, re.DOTALL):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_LENGTH]


def _may_join(before: Message, after: Message, *, from_caller: bool) -> bool:
    """Whether two messages in a row, the first of them put back, can be one."""
    role = after.get("role")
    if before.get("role") != role:
        return False
    return role == "user" or (role == "assistant" and not from_caller and not before.get("tool_calls"))


def _joined(before: Message, after: Message, glue: str) -> Message:
    """Two messages of one role as one."""
    made = {**before, **after}
    if before.get("name") != after.get("name"):
        made.pop("name", None)
    for key in ("content", *THOUGHTS):
        if (value := _together(before.get(key), after.get(key), glue)) is not None:
            made[key] = value
    return made


def _together(before: object, after: object, glue: str) -> object:
    """Two contents as one: text as text, or as a list of parts when one of them is."""
    if not before or not after:
        return after or before
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}{glue}{after}"
    return [*_parts(before), *_parts(after)]


def _parts(content: object) -> list[object]:
    return cast("list[object]", content) if isinstance(content, list) else [{"type": "text", "text": content}]
