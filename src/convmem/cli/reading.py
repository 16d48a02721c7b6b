"""`convmem sessions`, `show`, `recall` and `stats`: looking at what is remembered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from convmem.cli.cells import counted, cropped, shown
from convmem.cli.options import Database, Json, NoUser, OnlyUser, Plain, SessionName, User
from convmem.cli.place import file_of, known_sessions, opened, owner, session_of
from convmem.cli.screen import Screen

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from convmem.types import Hit, Ledger, Turn

__all__ = ["recall", "sessions", "show", "stats"]

_STATES = {"pending": "not answered"}


def sessions(
    *,
    db: Database = None,
    user: OnlyUser = None,
    no_user: NoUser = False,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """List conversations, the oldest first.

    **Examples**

    - `convmem sessions`

    - `convmem sessions --user alice --json`
    """
    screen = Screen(plain=plain)
    with opened(db) as memory:
        found = (
            memory.sessions(user=owner(memory, user, no_user=no_user))
            if user or no_user
            else memory.sessions()
        )
    if as_json:
        screen.json([asdict(session) for session in found])
        return
    if not found:
        screen.out.print("No conversation yet.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("session", overflow="fold")
    table.add_column("user", overflow="fold")
    table.add_column("turns", justify="right")
    table.add_column("begun", no_wrap=True)
    for session in found:
        name = Text(shown(session.name), "bold")
        table.add_row(name, shown(session.user or "–"), str(session.turns), _minute(session.created))
    screen.out.print(table)


def show(
    session: Annotated[
        str | None,
        typer.Argument(
            help="Its name. Left out: the one that was begun last.",
            show_default=False,
            autocompletion=known_sessions,
        ),
    ] = None,
    *,
    db: Database = None,
    user: User = None,
    no_user: NoUser = False,
    branches: Annotated[
        bool,
        typer.Option("--branches", help="Also what was edited away, answered otherwise or not answered."),
    ] = False,
    last: Annotated[
        int | None, typer.Option(min=1, help="Only so many turns, the newest.", show_default=False)
    ] = None,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Show a conversation as it stands; where nothing was answered, what was asked.

    **Examples**

    - `convmem show kyoto`

    - `convmem show kyoto --last 4 --branches`
    """
    screen = Screen(plain=plain)
    with opened(db) as memory:
        whose = owner(memory, user, no_user=no_user)
        found = session_of(memory, session, whose)
        turns = memory.turns(session=found.name, user=whose, branches=branches)
    turns = turns[-last:] if last is not None else turns
    if as_json:
        screen.json([_turn(turn) for turn in turns])
        return
    day = ""
    for turn in turns:
        if (date := turn.at.astimezone().date().isoformat()) != day:
            day = date
            screen.out.print(Text(f"[{date}]", "cyan"))
        _say(screen.out, turn)


def recall(
    query: Annotated[str, typer.Argument(help="What to look for, in any words.", show_default=False)],
    *,
    db: Database = None,
    user: User = None,
    no_user: NoUser = False,
    session: SessionName = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="The most hits.")] = 5,
    budget: Annotated[
        int | None,
        typer.Option(min=0, help="The most tokens their texts may have together.", show_default=False),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Show all of each turn, not its beginning.")] = False,
    embedder: Annotated[
        str, typer.Option(help="auto, local, none, or sentence-transformers:MODEL.")
    ] = "auto",
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Search a memory, by words and by meaning; the best hit first.

    The score is in standard deviations over the user's turns. Behind it stands what spoke for the turn: its
    words (lexical), its meaning (dense), what stands beside it (neighbour), and so on.

    **Examples**

    - `convmem recall "where do I stay in Kyoto?"`

    - `convmem recall 我对什么过敏 --top-k 3 --json`
    """
    screen = Screen(plain=plain)
    with screen.noting(), opened(db, embedder=embedder) as memory:
        whose = owner(memory, user, no_user=no_user)
        name = session if session is None and whose is not None else session_of(memory, session, whose).name
        hits = memory.recall(query, user=whose, session=name, top_k=top_k, budget=budget)
    if as_json:
        screen.json([{"score": round(hit.score, 3), "why": hit.why, "turn": _turn(hit.turn)} for hit in hits])
        return
    if not hits:
        screen.out.print("Nothing found.")
    for rank, hit in enumerate(hits, 1):
        _print_hit(screen.out, rank, hit, whole=whole)


def stats(
    *,
    db: Database = None,
    prices: Annotated[
        Path | None, typer.Option(help="Prices of your own, as docs/costs.md says.", show_default=False)
    ] = None,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Count what a memory holds, and what the calls through it took and cost.

    **Examples**

    - `convmem stats --db chat.db`

    - `convmem stats --prices prices.toml --json`
    """
    screen = Screen(plain=plain)
    file = file_of(db)
    with opened(db, prices=prices) as memory:
        counts, found, ledger = memory.stats(), memory.sessions(), memory.ledger()
    users: dict[str | None, list[int]] = {}
    for session in found:
        users.setdefault(session.user, []).append(session.turns)
    if as_json:
        by_user = [
            {"user": user, "sessions": len(turns), "turns": sum(turns)} for user, turns in users.items()
        ]
        cost = {**asdict(ledger.cost), "total": ledger.cost.total}
        screen.json({"file": file, **asdict(counts), "by_user": by_user, "ledger": ledger, "cost": cost})
        return
    screen.out.print(f"{file}: {(counts.bytes or 0) / 1e6:.1f} MB", markup=False)
    screen.out.print(
        f"{counted(counts.turns, 'turn')} in {counted(counts.sessions, 'session')}"
        f" of {counted(counts.users, 'user')}, {counted(counts.calls, 'call')}"
    )
    if ledger.calls:
        screen.out.print(_spent(ledger))
    if len(users) > 1:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("user", overflow="fold")
        table.add_column("sessions", justify="right")
        table.add_column("turns", justify="right")
        for user, turns in users.items():
            table.add_row(shown(user or "–"), str(len(turns)), str(sum(turns)))
        screen.out.print(table)


def _spent(ledger: Ledger) -> str:
    """What calls took and cost, in words."""
    cached = f" ({ledger.cached_tokens:,} from the cache)" if ledger.cached_tokens else ""
    took = f"{ledger.prompt_tokens:,} tokens sent{cached}, {ledger.output_tokens:,} answered"
    cost = f", ${ledger.cost.total:.6f} at list prices" if ledger.by_model else ""
    left = {"without usage": ledger.uncounted, "without a known price": ledger.unpriced}
    missing = "".join(f"; {counted(n, 'call')} {what}" for what, n in left.items() if n)
    return took + cost + missing


def _minute(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "session": turn.session,
        "user": turn.user,
        "at": turn.at,
        "state": turn.state,
        "message": turn.payload,
    }


def _say(out: Console, turn: Turn) -> None:
    """One turn: who, when, and all of it."""
    state = _STATES.get(turn.state, turn.state)
    mark = "" if turn.state in {"answered", "partial"} and not turn.choice else f" ({state})"
    style = "bold green" if turn.role == "user" else "bold magenta"
    about = f"  {turn.at.astimezone():%H:%M} {turn.id}{mark}"
    out.print(Text.assemble((shown(turn.name or turn.role), style), (about, "dim")))
    out.print(Text(shown(turn.text) if turn.text else "[no text]"))
    out.print()


def _print_hit(out: Console, rank: int, hit: Hit, *, whole: bool) -> None:
    turn = hit.turn
    why = ", ".join(hit.why) or "nothing speaks for it"
    about = f" {hit.score:.1f} ({why})  {turn.name or turn.role} in {turn.session}, {turn.id}"
    head = Text.assemble((f"{rank}. ", "bold"), (_minute(turn.at), "cyan"), (shown(about), "dim"))
    out.print(head)
    out.print(Text(shown(turn.text) if whole else cropped(turn.text, 2 * out.width - 8)))
    out.print()
