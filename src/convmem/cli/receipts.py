"""`convmem receipts`: what the calls were made of, one row a call."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from convmem.cli.cells import cropped, shown
from convmem.cli.options import Database, Json, NoUser, OnlyUser, Plain, SessionName
from convmem.cli.place import opened, owner, session_of
from convmem.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convmem.types import Receipt

__all__ = ["receipts"]

_OTHER_COLUMNS = 73
"""Cells that the columns besides the session's name take; the name gives way on a narrow terminal."""
_SHORTEST_NAME = 7


def receipts(
    *,
    db: Database = None,
    user: OnlyUser = None,
    no_user: NoUser = False,
    session: SessionName = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only calls made since then, by this machine's clock.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The most calls.")] = 20,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """List what calls were made of, the newest first: there are no words in it.

    `sent` is about how many tokens were sent, `quoted` how many turns were recalled. `complete` says whether
    the call went out with the whole of its own conversation. Notes stand below, by their numbers.

    **Examples**

    - `convmem receipts --user alice --limit 5`

    - `convmem receipts --since 2026-03-01 --json`
    """
    screen = Screen(plain=plain)
    with opened(db) as memory:
        chosen = {"user": owner(memory, user, no_user=no_user)} if user or no_user or session else {}
        name = session_of(memory, session, chosen["user"]).name if session is not None else None
        found = memory.receipts(
            **chosen, session=name, since=since.astimezone() if since is not None else None, limit=limit
        )
    if as_json:
        screen.json(found)
        return
    if not found:
        screen.out.print("No call yet that left a receipt.")
        return
    numbers: dict[str, int] = {}
    screen.out.print(_table(found, numbers, max(_SHORTEST_NAME, screen.out.width - _OTHER_COLUMNS)))
    for note, number in numbers.items():
        screen.out.print(Text(f"{number}  {shown(note)}", "dim"))


def _table(found: Iterable[Receipt], numbers: dict[str, int], room: int) -> Table:
    """A row per call, names of sessions in so many cells; `numbers` gets the notes."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("call", "session", "state", "journaled", "complete"):
        table.add_column(column, no_wrap=True)
    for column in ("sent", "quoted", "cost", "notes"):
        table.add_column(column, justify="right", no_wrap=True)
    for receipt in found:
        whose = f"{receipt.user}/{receipt.session}" if receipt.user is not None else str(receipt.session)
        notes = [numbers.setdefault(note, len(numbers) + 1) for note in receipt.notes]
        table.add_row(
            f"{receipt.at.astimezone():%y-%m-%d %H:%M}",
            Text(cropped(whose, room), "bold"),
            receipt.state,
            _yes(said=receipt.journaled),
            _yes(said=receipt.complete),
            f"{receipt.tokens.total:,}",
            str(len(receipt.recalled)),
            f"${receipt.cost.total:.6f}" if receipt.cost is not None else "–",
            " ".join(map(str, notes)) or "–",
        )
    return table


def _yes(*, said: bool) -> Text:
    return Text("yes") if said else Text("NO", "bold red")
