"""`convmem doctor`: the machine, the embedder, the tokenizer's tables, the database, each with a remedy."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from convmem import __version__, repair
from convmem.cli.options import Database, Json, Plain
from convmem.cli.place import default_file, file_of, opened
from convmem.cli.screen import Screen
from convmem.embed.resolve import resolve as resolve_embedder
from convmem.errors import ConvmemError, StoreCorruptError
from convmem.tokens.tiktoken import table_is_here
from convmem.types import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from convmem.embed.protocol import Embedder

__all__ = ["doctor"]

State = Literal["ok", "note", "trouble"]

_STYLES: dict[State, str] = {
    "ok": "green",
    "note": "yellow",
    "trouble": "bold red",
}

_STATE_CELLS = 7
_WHAT_CELLS = 19


@dataclass(frozen=True, slots=True)
class _Finding:
    """One thing that was looked at; a note is no trouble, and says what would be better and how."""

    what: str
    state: State
    said: str
    command: str | None = None


def doctor(
    *,
    db: Database = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair", help="Make again what was derived; write a damaged file anew, beside a copy of it."
        ),
    ] = False,
    embedder: Annotated[str, typer.Option(help="The embedder to try: auto, local, none, …")] = "auto",
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Look over the machine and a memory, and say what to do about what is wrong.

    The database is read as a whole: SQLite's integrity check, every turn, every index entry. With
    `--repair`, entries that are missing or damaged are made again from the journal. A damaged file is never
    mended in place: it is copied first, and what can be read of it is written to a new one.

    Exit code 1 when there is trouble left.

    **Examples**

    - `convmem doctor`

    - `convmem doctor --db chat.db --repair`
    """
    screen = Screen(plain=plain)
    findings: list[_Finding] = []

    def tell(finding: _Finding) -> None:
        findings.append(finding)
        if not as_json:
            _print(screen.out, finding)

    file = file_of(db) if db is not None else default_file()
    with screen.quiet(lambda _: None):  # what the library warns of is found and told here
        for finding in _machine():
            tell(finding)
        made, finding = _embedder(embedder)
        tell(finding)
        if file.exists():
            for finding in _database(file, made, mend=mend):
                tell(finding)
        else:
            tell(_Finding("memory", "note", f"none yet at {file}; the commands chat and import begin one"))
    if as_json:
        screen.json({"file": str(file), "findings": [asdict(finding) for finding in findings]})
    if any(finding.state == "trouble" for finding in findings):
        raise typer.Exit(1)


def _machine() -> Iterator[_Finding]:
    yield _Finding(
        "convmem",
        "ok",
        f"{__version__} on Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" {platform.system()} {platform.machine()}",
    )
    try:
        yield _Finding("openai", "ok", importlib.metadata.version("openai"))
    except importlib.metadata.PackageNotFoundError:
        yield _Finding(
            "openai", "note", "not installed; chat and demo need the extra `openai`:", "pip install openai"
        )
    for table in ("o200k_base", "cl100k_base"):
        if table_is_here(table):
            yield _Finding(f"tokens, {table}", "ok", "counted exactly")
        else:
            yield _Finding(
                f"tokens, {table}",
                "note",
                "estimated: tiktoken's table is not on this machine, and convmem downloads nothing;"
                " it comes by this:",
                f"python -c 'import tiktoken; tiktoken.get_encoding(\"{table}\")'",
            )


def _embedder(name: str) -> tuple[Embedder | None, _Finding]:
    """The embedder, tried with a short text."""
    try:
        made = resolve_embedder(name)
        if made is None:
            from convmem.embed.local import package  # noqa: PLC0415 (numpy)

            said = "none: turns are found by their words; by meaning too with the extra `local`:"
            return None, _Finding("embedder", "note", said, f"pip install {package()}")
        made.embed(["warm up"], "query")
        started = time.perf_counter()
        made.embed(["Where do I stay in Kyoto? 我在京都住哪里?"], "query")
    except ConvmemError as error:
        return None, _Finding("embedder", "trouble", str(error))
    ms = (time.perf_counter() - started) * 1_000
    return made, _Finding("embedder", "ok", f"{made.fingerprint}, {ms:.0f} ms for a question")


def _print(out: Console, finding: _Finding) -> None:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=_STATE_CELLS)
    row.add_column(width=_WHAT_CELLS)
    row.add_column(overflow="fold")
    row.add_row(Text(finding.state, _STYLES[finding.state]), Text(finding.what, "bold"), Text(finding.said))
    out.print(row)
    if finding.command is not None:  # on a line of its own, however long, so that it can be copied
        out.print(Text(f"  {finding.command}"), soft_wrap=True)


def _database(file: Path, embedder: Embedder | None, *, mend: bool) -> Iterator[_Finding]:
    try:
        health = _checked(file, embedder, mend=mend)
    except StoreCorruptError as error:
        health = Health(problems=(str(error.__cause__ or error),))
    except ConvmemError as error:
        yield _Finding("memory", "trouble", str(error))
        return
    if health.sound:
        yield from _sound(file, health)
        return
    if not mend:
        yield _Finding(
            "memory",
            "trouble",
            f"{file} is damaged; this keeps a copy and repairs it:",
            f"convmem doctor --repair --db {shlex.quote(str(file))}",
        )
        yield from (_Finding("damage", "trouble", problem) for problem in health.problems)
        return
    yield from (_Finding("damage", "note", problem) for problem in health.problems)
    yield from _repaired(file, embedder)


def _checked(file: Path, embedder: Embedder | None, *, mend: bool) -> Health:
    with opened(file, embedder=embedder) as memory:
        health = memory.check()
        return memory.check(mend=True) if mend and health.sound else health


def _repaired(file: Path, embedder: Embedder | None) -> Iterator[_Finding]:
    try:
        done = repair(file)
        health = _checked(file, embedder, mend=True)
    except ConvmemError as error:
        yield _Finding("repair", "trouble", str(error))
        return
    lost = f", {done.lost} are lost" if done.lost else ""
    yield _Finding("repair", "ok", f"{done.turns} turns kept{lost}; the file as it was: {done.copy}")
    yield from _sound(file, health)


def _sound(file: Path, health: Health) -> Iterator[_Finding]:
    size = f"log {health.log_bytes / 1e6:.1f} MB, free {health.free_bytes / 1e6:.1f} MB"
    yield _Finding(
        "memory", "ok" if health.sound else "trouble", f"{file}: {health.turns} turns, all readable; {size}"
    )
    again = "; --repair makes them again"
    if health.damaged:
        yield _Finding("index", "trouble", f"{len(health.damaged)} entries are damaged{again}")
    missing = {"words": health.without_words, "meaning": health.without_vectors or 0}
    for by, turns in missing.items():
        if turns:
            yield _Finding(
                "index", "note", f"{turns} turns cannot be found by their {by} yet; --repair makes that now"
            )
    if not (health.damaged or any(missing.values())):
        yield _Finding("index", "ok", "complete")
