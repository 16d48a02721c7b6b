"""`convmem import` and `convmem export`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convmem.call.scope import UNSET
from convmem.cli.cells import counted, shown
from convmem.cli.options import As, Database, Json, NoUser, Plain, SessionName, User
from convmem.cli.place import ME, file_of, opened, owner
from convmem.cli.screen import Screen
from convmem.errors import InputError
from convmem.importers import Format, by_session, is_own_export, read
from convmem.wire.values import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from convmem.importers import Imported
    from convmem.memory import Memory
    from convmem.types import Message

__all__ = ["export", "import_"]

_PAUSE_S = 1.0
_SHARE = 10


@dataclass(frozen=True, slots=True)
class _Taken:
    """Counts of one imported file; its system texts are settings, and no turns."""

    file: str
    users: list[str]
    sessions: int
    messages: int
    new_turns: int
    system_texts: int = 0


def import_(
    files: Annotated[list[Path], typer.Argument(help="One or more files.", show_default=False)],
    *,
    db: Database = None,
    user: As = None,
    format: Annotated[  # noqa: A002 (its name on the command line)
        Format, typer.Option("--format", "-f", help="Who wrote it; `auto` tells by the content.")
    ] = "auto",
    embedder: Annotated[
        str, typer.Option(help="Makes turns findable by meaning: auto, local, none, …")
    ] = "auto",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Wait until all of it can be found by meaning; Ctrl-C ends that."
        ),
    ] = True,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Take in conversations that were held elsewhere.

    Reads OpenAI-style JSON Lines or JSON (a message or a conversation each), ChatGPT's and Claude's exports
    (`conversations.json` or the ZIP archive), mem0's memories (what `get_all` gives, as JSON), and what
    `convmem export` wrote. Importing the same file again adds nothing.

    **Examples**

    - `convmem import chatgpt-export.zip`

    - `convmem import --user alice --format mem0 memories.json`
    """
    screen = Screen(plain=plain)
    readable = [(file, _messages(file, user, format)) for file in files]  # before anything is changed
    with screen.noting(), opened(db, make=True, embedder=embedder) as memory:
        taken = [_take(memory, file, rows, user, screen) for file, rows in readable]
        missing = _embedded(memory, screen) if wait else memory.check().without_vectors
    if as_json:
        screen.json({"files": [asdict(one) for one in taken], "without_vectors": missing})
        return
    for one in taken:
        settings = f", {counted(one.system_texts, 'system text')}" if one.system_texts else ""
        screen.out.print(
            f"{one.file}: {counted(one.messages, 'message')} in {counted(one.sessions, 'session')}"
            f" of {shown(', '.join(one.users))}; {counted(one.new_turns, 'new turn')}{settings}.",
            markup=False,
        )
    if missing:
        screen.out.print(
            f"{missing} turns can be found by their words only; what opens the memory next does the rest."
        )


def _messages(file: Path, user: str | None, format: Format) -> list[Imported] | None:  # noqa: A002
    """What a file holds; None when it is an export of our own."""
    if format != "auto" or not is_own_export(file):
        return read(file, format=format)
    if user is not None:
        raise InputError(f"{file} names its users, as convmem's exports do; leave --user out")
    return None


def _take(
    memory: Memory, file: Path, rows: list[Imported] | None, user: str | None, screen: Screen
) -> _Taken:
    before = memory.stats().turns
    if rows is None:
        named: set[tuple[str, str]] = set()
        turns = memory.import_(_noting(file, named))
        users = sorted({name for name, _ in named})
        return _Taken(str(file), users, len(named), turns, memory.stats().turns - before)
    sessions = settings = 0
    with screen.progress() as bars:
        bar = bars.add_task("turns imported", total=len(rows))
        owners = {user or row.user or ME for row in rows}
        for name in sorted(owners):
            own = [row for row in rows if (user or row.user or ME) == name]
            found = by_session(own)
            sessions += len(found)
            settings += sum(len(split(messages)[0]) for messages, _ in found.values())
            _record(memory, file, found, name, lambda n: bars.advance(bar, n))
    new = memory.stats().turns - before
    return _Taken(str(file), sorted(owners), sessions, len(rows), new, settings)


def _noting(file: Path, named: set[tuple[str, str]]) -> Iterator[str]:
    """The lines of an export of our own; notes users and sessions by the way."""
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            yield line  # who reads it says what is wrong with it, and does not come back for the next
            if line.strip() and "session" in (row := json.loads(line)):
                named.add((row["user"] or "nobody", row["session"]))


def _record(
    memory: Memory,
    file: Path,
    found: dict[str, tuple[list[Message], list[datetime] | None]],
    user: str,
    tell: Callable[[int], object],
) -> None:
    """Record one user's messages, session by session."""
    for session, (messages, times) in found.items():
        try:
            memory.record(messages, user=user, session=session, at=times)
        except InputError as error:
            raise InputError(f"{file}, session {session!r}: {error}") from error
        tell(len(messages))


def _embedded(memory: Memory, screen: Screen) -> int | None:
    """Wait for the vectors; returns how many turns have none, None without an embedder."""
    missing = memory.check().without_vectors
    if not missing:
        return missing
    with screen.progress() as bars:
        bar = bars.add_task("turns findable by meaning", total=missing)
        try:
            pause, began = _PAUSE_S, time.monotonic()
            while not memory.reindex(timeout=pause):
                started = time.monotonic()
                if started - began < pause:  # it gave up before its time: the embedder fails
                    break
                left = memory.check().without_vectors or 0
                pause = max(
                    _PAUSE_S, _SHARE * (time.monotonic() - started)
                )  # a look at a large memory takes time
                bars.update(bar, completed=missing - left)
                began = time.monotonic()
        except KeyboardInterrupt:
            pass  # what is missing is made by the next open
    return memory.check().without_vectors


def export(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, else standard output.", show_default=False),
    ] = None,
    db: Database = None,
    user: User = None,
    no_user: NoUser = False,
    session: SessionName = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="With --output: say in JSON what was written. The export is JSON Lines anyhow."
        ),
    ] = False,
) -> None:
    """Write the journal as JSON Lines: every turn of every branch, verbatim.

    Without `--user` and `--session` everybody's. `convmem import` takes it in, here or elsewhere, once.

    **Examples**

    - `convmem export --output backup.jsonl`

    - `convmem export --user alice --session kyoto | head`
    """
    if output is not None:
        _check_output(output, file_of(db))
    with opened(db) as memory:
        whose = (
            UNSET
            if user is None and not no_user and session is None
            else owner(memory, user, no_user=no_user)
        )
        lines = memory.export(user=whose, session=session)
        if output is None:
            for line in lines:
                sys.stdout.write(line + "\n")
            return
        count = _written(lines, output)
    if as_json:
        Screen(plain=True).json({"file": str(output), "turns": count})
    else:
        sys.stderr.write(f"{count} turns written to {output}\n")


def _check_output(output: Path, memory: Path) -> None:
    """Refuse to write an export in the place of the memory that it is of, or of its log."""
    own = {Path(f"{memory.resolve()}{suffix}") for suffix in ("", "-wal", "-shm")}
    if output.resolve() in own or (output.exists() and output.samefile(memory)):
        raise InputError(f"{output} is the memory itself; name another file with --output")


def _written(lines: Iterator[str], output: Path) -> int:
    """Write to a file, which is there afterwards as a whole or not at all; returns how many turns."""
    part = output.with_name(output.name + ".part")
    count = -1  # the header
    try:
        with part.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        part.replace(output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{output} cannot be written: {error.strerror}") from error
    return count
