"""Whose memory a call uses: headers of the call, the context, headers of the client, then the wrap."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, cast
from weakref import WeakKeyDictionary

from convmem.errors import InputError, ScopeError
from convmem.types import MODES

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from convmem.types import Mode

__all__ = [
    "HEADERS",
    "UNSET",
    "Scope",
    "Unset",
    "checked_user",
    "entered",
    "make_scope",
    "missed",
    "read_headers",
    "resolve",
]


class Unset(Enum):
    """Says that something was not given, where None would mean something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

_OURS = "x-convmem-"
HEADERS = {"x-convmem-user": "user", "x-convmem-session": "session", "x-convmem-mode": "mode"}
_MOST_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory, which conversation, and what memory may do; each may be unset."""

    user: str | Literal[Unset.UNSET] | None = UNSET
    session: str | Literal[Unset.UNSET] | None = UNSET
    mode: Mode | Literal[Unset.UNSET] = UNSET

    def over(self, wider: Scope) -> Scope:
        """This scope, filled up from a wider one where it says nothing."""
        return Scope(
            wider.user if self.user is UNSET else self.user,
            wider.session if self.session is UNSET else self.session,
            wider.mode if self.mode is UNSET else self.mode,
        )


def make_scope(
    *,
    user: str | Literal[Unset.UNSET] | None = UNSET,
    session: str | Literal[Unset.UNSET] | None = UNSET,
    mode: str | Literal[Unset.UNSET] = UNSET,
) -> Scope:
    """A checked scope.

    Raises:
        ScopeError: a name that is empty, too long or no text; an unknown mode.
    """
    for what, name in (("user", user), ("session", session)):
        if name is not UNSET and name is not None:
            _check_name(what, name)
    if mode is not UNSET and mode not in MODES:
        raise ScopeError(f"mode is one of {', '.join(MODES)}; not {mode!r}")
    return Scope(user, session, mode)


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str):
        raise ScopeError(f"{what} is a string, not {type(name).__name__}; use str(…) for a number")
    if not name.strip():
        raise ScopeError(f"{what} is empty; leave it out, or give the string by which you know it")
    if len(name) > _MOST_CHARACTERS:
        raise ScopeError(f"{what} has {len(name)} characters; {_MOST_CHARACTERS} are the most")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ScopeError(f"{what} has a lone surrogate and cannot be stored as text") from error


# By memory (its id), so that two memories in one context keep apart.
_ENTERED: ContextVar[Mapping[int, Scope]] = ContextVar("convmem_scope")


@dataclass(slots=True)
class _Elsewhere:
    """What scopes of one memory named so far, in whatever context, and the modes of those that are open."""

    named: set[str] = field(default_factory=set[str])
    modes: list[str] = field(default_factory=list[str])


_ELSEWHERE: WeakKeyDictionary[object, _Elsewhere] = WeakKeyDictionary()


def entered(memory: object) -> Scope:
    """The scope that the current context entered for this memory."""
    return _ENTERED.get({}).get(id(memory), Scope())


@contextmanager
def enter(memory: object, scope: Scope) -> Generator[None]:
    """Narrow the scope within the current context; what is unset stays as it was."""
    elsewhere = _ELSEWHERE.setdefault(memory, _Elsewhere())
    elsewhere.named.update(what for what in ("user", "session") if isinstance(getattr(scope, what), str))
    if scope.mode is not UNSET:
        elsewhere.modes.append(scope.mode)
    scopes = _ENTERED.get({})
    token = _ENTERED.set({**scopes, id(memory): scope.over(entered(memory))})
    try:
        yield
    finally:
        if scope.mode is not UNSET:
            elsewhere.modes.remove(scope.mode)
        # A generator may be closed in another context than it began in; there nothing was entered.
        with suppress(ValueError):
            _ENTERED.reset(token)


def missed(memory: object, user: str | None, session: str | None, mode: str) -> str | None:
    """A note for a call outside of every scope that lacks what scopes of its memory name; None without one.

    Context variables do not go with work that is handed to an executor, nor with a generator that is read
    after its block. Python does not tell that they were lost, so this tells what can be known.

    Args:
        memory: the call's.
        user: the call's.
        session: the call's.
        mode: the call's.
    """
    elsewhere = _ELSEWHERE.get(memory)
    if elsewhere is None or id(memory) in _ENTERED.get({}):
        return None
    lacking = [
        what
        for what, name in (("user", user), ("session", session))
        if name is None and what in elsewhere.named
    ]
    if not lacking and all(open_mode == mode for open_mode in elsewhere.modes):
        return None
    what = " and ".join(lacking) or "mode"
    return (
        f"the call was made outside of scope(), which names a {what} in other threads, tasks or blocks:"
        " executors, threads and generators that are read later do not take a scope along;"
        " wrap(client, user=…, session=…) and contextvars.copy_context().run do"
    )


def read_headers(headers: Mapping[str, object] | None) -> tuple[Scope, dict[str, object] | None]:
    """The scope that headers name, and the headers without ours: None when there were none of ours.

    Raises:
        ScopeError: an empty or unknown value in one of our headers, or one that we do not have.
    """
    given: dict[str, str] = {}
    kept: dict[str, object] = {}
    for name, value in (headers or {}).items():
        field = HEADERS.get(name.lower())
        if field is None and name.lower().startswith(_OURS):
            raise ScopeError(f"there is no header {name!r:.60}; convmem's are {', '.join(HEADERS)}")
        if field is None:
            kept[name] = value
        elif not isinstance(value, str) or not value.strip():
            raise ScopeError(f"the header {name} is empty; leave it out, or give it a value")
        else:
            given[field] = value
    if not given:
        return Scope(), None
    scope = make_scope(
        user=given.get("user", UNSET), session=given.get("session", UNSET), mode=given.get("mode", UNSET)
    )
    return scope, kept


def resolve(
    headers: Mapping[str, object] | None, context: Scope, wrapped: Scope
) -> tuple[Scope, dict[str, object] | None]:
    """The scope of a call, the most specific first, and the headers without ours.

    Returns:
        The scope, and the headers to send on: None when there were none of ours, so that the caller's own
        stay as they are.

    Raises:
        ScopeError: as `read_headers`.
    """
    scope, kept = read_headers(headers)
    return scope.over(context).over(wrapped), kept


def checked_user(user: object) -> None:
    """A user, where a session without one has nothing of the kind.

    Raises:
        InputError: None, or no name.
    """
    if user is None:
        raise InputError("user is None; pins belong to a user, say whose")
    make_scope(user=cast("str", user))
