"""Which file and which user a command is about: what the options say, and what is meant without them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from convmem.arguments.checks import checked_file
from convmem.errors import ConvmemError, InputError
from convmem.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from convmem.embed.protocol import Embedder
    from convmem.policy import Policy
    from convmem.types import Session

__all__ = [
    "ME",
    "default_file",
    "file_of",
    "known_sessions",
    "known_users",
    "named_few",
    "opened",
    "owner",
    "session_of",
]

ME = "me"
"""The user of a memory that its owner keeps on the command line."""

_NAMED_AT_MOST = 5


def default_file() -> Path:
    """Where the memory is when nothing says so."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "convmem" / "memory.db"


def file_of(db: Path | None, *, make: bool = False) -> Path:
    """The file meant.

    Args:
        db: what the option says.
        make: it need not be there; the folder of the default one is made.

    Raises:
        InputError: it is not there.
    """
    file = checked_file("--db", db) if db is not None else default_file()
    if make:
        if db is None:
            _made(file.parent)
    elif not file.exists():
        raise InputError(
            f"there is no memory at {file}; name another file with --db, or begin one with"
            " `convmem import` or `convmem chat`"
        )
    return file


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); name a file with --db") from error


@contextmanager
def opened(
    db: Path | None,
    *,
    make: bool = False,
    embedder: str | Embedder | None = None,
    policy: str | Path | Policy = "balanced",
    prices: str | Path | None = None,
) -> Generator[Memory]:
    """The memory, closed in the end.

    Args:
        db: what the option says.
        make: begin one that is not there.
        embedder: as `Memory` takes it; None for commands that search nothing.
        policy: as `Memory` takes it.
        prices: as `Memory` takes them.
    """
    with Memory(file_of(db, make=make), embedder=embedder, policy=policy, prices=prices) as memory:
        yield memory


def owner(memory: Memory, user: str | None, *, no_user: bool = False) -> str | None:
    """Whose memory is meant; None for sessions without a user.

    Raises:
        InputError: nothing says which of several users, or nothing is known of the one named.
    """
    if no_user and user is not None:
        raise InputError("give --user or --no-user, not both")
    if no_user:
        return None
    users = sorted({session.user for session in memory.sessions() if session.user is not None})
    named = named_few(users)
    if user is not None:
        if user not in users and not memory.pins(user=user):
            raise InputError(f"there is no user {user!r}; there is {named or 'none yet'}")
        return user
    if len(users) > 1:
        raise InputError(f"say whose memory: --user NAME, one of {named}")
    return users[0] if users else None


def named_few(names: Sequence[str]) -> str:
    """The first of these names, in a sentence."""
    return ", ".join(names[:_NAMED_AT_MOST]) + (", …" if len(names) > _NAMED_AT_MOST else "")


def session_of(memory: Memory, name: str | None, user: str | None) -> Session:
    """The session of this name, or the one that was begun last.

    Raises:
        InputError: there is none.
    """
    sessions = memory.sessions(user=user)
    if name is None:
        if not sessions:
            raise InputError(f"there is no session of {user or 'nobody'}")
        return max(sessions, key=lambda session: session.created)
    found = next((session for session in sessions if session.name == name), None)
    if found is None:
        whose = f"of {user}" if user is not None else "without a user"
        raise InputError(f"there is no session {name!r} {whose}; `convmem sessions` lists them")
    return found


def known_users(ctx: typer.Context, incomplete: str) -> list[str]:
    """Users for the Tab key."""
    return _completed(ctx, incomplete, lambda session: session.user)


def known_sessions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Sessions for the Tab key."""
    user = ctx.params.get("user")
    return _completed(ctx, incomplete, lambda session: session.name if user in {None, session.user} else None)


def _completed(ctx: typer.Context, incomplete: str, name_of: Callable[[Session], str | None]) -> list[str]:
    db = ctx.params.get("db") or os.environ.get("CONVMEM_DB")
    try:
        with opened(Path(db) if db else None) as memory:
            names = [name_of(session) for session in memory.sessions()]
    except (ConvmemError, OSError):
        return []
    return sorted({name for name in names if name is not None and name.startswith(incomplete)})
