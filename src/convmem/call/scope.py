"""Decides whose memory a call uses: by the call's headers, the context, the client's headers, the wrap.

`memory.scope()` enters a scope (`enter`), `wrap()` makes one (`make_scope`), and each wrapped call resolves
its own (`resolve`), the most specific first.
"""

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
    """The type of the value that says "not given", where None means "nobody"."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

_OURS = "x-convmem-"
"""The beginning of convmem's headers; one that begins so and is none of `HEADERS` is an error."""
HEADERS = {"x-convmem-user": "user", "x-convmem-session": "session", "x-convmem-mode": "mode"}
"""The fields of a scope by the headers that give them; these headers are never sent to the provider."""
_MOST_CHARACTERS = 512
"""Characters of the name of a user or session, at most: enough for any id, and short enough to be indexed."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memory a call uses, which conversation it belongs to, and what memory may do; each may be unset.

    Attributes:
        user: the owner of the memory; None for nobody's.
        session: the conversation; None to have it found by its history.
        mode: on, read, write or off.
    """

    user: str | Literal[Unset.UNSET] | None = UNSET
    session: str | Literal[Unset.UNSET] | None = UNSET
    mode: Mode | Literal[Unset.UNSET] = UNSET

    def settled(self) -> tuple[str | None, str | None, Mode]:
        """Return user, session and mode of a call: None, None and `on` where the scope says nothing."""
        user = None if self.user is UNSET else self.user
        session = None if self.session is UNSET else self.session
        return user, session, "on" if self.mode is UNSET else self.mode

    def over(self, wider: Scope) -> Scope:
        """This scope, with the fields of a wider one where its own are unset."""
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
    """Make a scope, and check its names and mode.

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


# The scopes entered in the current context, by the Python id of their Memory, so that two Memories keep
# apart.
_ENTERED: ContextVar[Mapping[int, Scope]] = ContextVar("convmem_scope")


@dataclass(slots=True)
class _Elsewhere:
    """What the scopes of one Memory named so far, in all contexts together; `missed` compares calls with it.

    Attributes:
        named: the fields that a scope ever named: "user", "session".
        modes: the modes of the scopes that are open now.
    """

    named: set[str] = field(default_factory=set[str])
    modes: list[str] = field(default_factory=list[str])


_ELSEWHERE: WeakKeyDictionary[object, _Elsewhere] = WeakKeyDictionary()


def entered(memory: object) -> Scope:
    """The scope that the current context entered for this Memory; an empty one without."""
    return _ENTERED.get({}).get(id(memory), Scope())


@contextmanager
def enter(memory: object, scope: Scope) -> Generator[None]:
    """Narrow the scope of a Memory within the block, in the current context; unset fields change nothing."""
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
        # A generator may be closed in another context than the one it began in; nothing was entered there.
        with suppress(ValueError):
            _ENTERED.reset(token)


def missed(memory: object, user: str | None, session: str | None, mode: str) -> str | None:
    """A note for a call outside of every scope, when it lacks what scopes of its Memory name; None without.

    Context variables do not go with work that is handed to an executor, nor with a generator that is read
    after its block. Python does not tell that they were lost; this note tells what can be known.

    Args:
        memory: the Memory of the call.
        user: the user of the call; None without one.
        session: the session of the call; None without one.
        mode: the mode of the call.
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
    """The scope that headers name, and the headers without convmem's; None when there were none of convmem's.

    Raises:
        ScopeError: one of convmem's headers is empty, has an unknown value, or does not exist.
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
    """The scope of a call: that of its headers, then that of the context, then that of the wrap.

    Args:
        headers: the headers of the call; None without any.
        context: the scope that the current context entered.
        wrapped: the scope that the wrap was given.

    Returns:
        The scope, and the headers to send on: None when there were none of convmem's, so that the caller's
        own object stays as it is.

    Raises:
        ScopeError: as `read_headers`.
    """
    scope, kept = read_headers(headers)
    return scope.over(context).over(wrapped), kept


def checked_user(user: object) -> None:
    """Check a user's name where None is not allowed: pins, for example, belong to a user.

    Raises:
        InputError: the user is None, or no valid name.
    """
    if user is None:
        raise InputError("user is None; pins belong to a user, say whose")
    make_scope(user=cast("str", user))
