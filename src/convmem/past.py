"""Recording the past: turns that happened without a wrapped call, and imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from convmem.errors import InputError
from convmem.journal import Forest, Job
from convmem.protocols import CallRow, NewTurn, SessionRef, Write
from convmem.providers.roles import role_of
from convmem.session.align import Alignment, Incoming, align, place
from convmem.wire.identity import ROOT, meaning_digest
from convmem.wire.message import ITEMS, encodable, plain
from convmem.wire.values import split

if TYPE_CHECKING:
    from convmem.protocols import Store, Written
    from convmem.types import Message

__all__ = ["RecordJob", "checked_messages", "checked_times", "with_content"]

_CONTENT = frozenset({"user", "system", "developer", "tool"})
"""Roles whose messages have content in every chat API; a reply may have tool calls, or a refusal, instead."""


def checked_messages(messages: object) -> list[Message]:
    """Messages as plain JSON.

    Raises:
        InputError: what is no list of messages with roles, naming the place; nothing was recorded.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise InputError("messages is a list of messages, each with `role` and `content`")
    checked: list[Message] = []
    for i, item in enumerate(cast("Iterable[object]", messages)):
        message = plain(item, where=f"messages[{i}]")
        if not isinstance(message, dict):
            raise InputError(
                f"messages[{i}] is {type(item).__name__}, not a mapping with `role` and `content`"
            )
        fields = cast("Message", message)
        role = fields.get("role")
        if not isinstance(role, str) or not role or not encodable(role):
            raise InputError(f'messages[{i}] has no `role`; give "user" or "assistant"')
        checked.append(fields)
    if not checked:
        raise InputError("messages is empty; there is nothing to record")
    return checked


def with_content(given: list[Message]) -> list[Message]:
    """Messages that say something, in roles of a chat API; what other programs call these is taken too.

    Raises:
        InputError: one without content that must have it, or in another role, naming the place.
    """
    messages = [
        {**message, "role": role_of(message["role"], where=f"messages[{i}]")}
        for i, message in enumerate(given)
    ]
    for i, message in enumerate(messages):
        role = message["role"]
        if role in _CONTENT and message.get("content") is None and ITEMS not in message:
            raise InputError(f"messages[{i}] has no `content`; a message of role {role!r} says something")
        if role == "assistant" and not message.keys() - {"role", "name"}:
            raise InputError(f"messages[{i}] has neither `content` nor `tool_calls`; a reply has one of them")
    return messages


def checked_times(at: object, n: int, now: datetime) -> list[datetime]:
    """One aware datetime per message: `at` for all, one each, or now.

    Raises:
        InputError: naive datetimes, another number than messages, anything else.
    """
    if at is None:
        return [now] * n
    given = [at] * n if isinstance(at, datetime) else at
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise InputError("at is an aware datetime, or one per message")
    times = cast("Sequence[object]", given)
    if len(times) != n:
        raise InputError(f"at has {len(times)} times for {n} messages; give one per message, or one for all")
    for i, time in enumerate(times):
        if not isinstance(time, datetime):
            raise InputError(f"at[{i}] is {type(time).__name__}, not a datetime")
        if time.utcoffset() is None:
            raise InputError(f"at[{i}] has no time zone; say which, e.g. .replace(tzinfo=UTC)")
    return cast("list[datetime]", list(times))


class RecordJob(Job[tuple[str, ...]]):
    """Append what a session does not know of a list of messages, all of it as settled.

    Its result has one id per turn, known or new; leading system messages are settings and have none.
    """

    def __init__(
        self,
        store: Store,
        ref: SessionRef,
        messages: Sequence[Message],
        times: Sequence[datetime],
        *,
        call_id: str,
        append: bool,
    ) -> None:
        super().__init__()
        self._store = store
        self._ref = ref
        self.user = ref.user
        self._settings, self._turns = split(messages)
        self._times = times[len(self._settings) :]
        self._began = times[0]
        self._call_id = call_id
        self._append = append

    @property
    def ref(self) -> SessionRef:
        """The session named."""
        return self._ref

    def plan(self, forest: Forest) -> Write | None:
        """Place the turns and append the new ones."""
        generation, tree = forest.tree(self._ref)
        key = self._store.key
        incoming = [Incoming(meaning_digest(key, turn), str(turn["role"])) for turn in self._turns]
        if not incoming:
            where = Alignment("start", ROOT, (), 0)
        elif self._append:
            last = next((node for node in tree.tips()), None)
            where = place(key, tree, last.identity if last is not None else ROOT, incoming)
        else:
            likeness = forest.likeness(self._ref, self._turns)
            where = align(key, tree, incoming, recording=True, likeness=likeness)
        new: list[NewTurn] = []
        states: list[tuple[bytes, Any]] = []
        for i, position in enumerate(where.identities):
            known = tree.get(position)
            if known is not None and known.forgotten:
                continue
            if known is not None and not known.settled:
                states.append((position, "answered"))
            new.append(
                NewTurn(
                    identity=position,
                    # What is known keeps its place and its words, in whatever clothes it came.
                    parent=known.parent
                    if known is not None
                    else where.identities[i - 1]
                    if i
                    else where.base,
                    meaning=known.meaning if known is not None else incoming[i].meaning,
                    payload=self._turns[i],
                    state="answered",
                    at=self._times[i],
                    saying=known.saying if known is not None else 0,
                )
            )
        call = None
        if self._settings:
            call = CallRow(id=self._call_id, at=self._began, state="answered", settings=self._settings)
        if not new and not states and call is None:
            return None
        return Write(ref=self._ref, expect=generation, turns=tuple(new), states=tuple(states), call=call)

    def settle(self, written: Written | None) -> tuple[str, ...]:
        """The ids of the turns."""
        return written.ids if written is not None and written.ids is not None else ()
