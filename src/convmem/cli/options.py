"""Options that several commands have, so that they are spelled and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convmem.cli.place import known_sessions, known_users

__all__ = ["As", "Database", "Json", "NoUser", "OnlyUser", "Plain", "SessionName", "User"]

_WHERE = "Memory"

Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        envvar="CONVMEM_DB",
        help="The SQLite file. Left out: `$XDG_DATA_HOME/convmem/memory.db`, which is mostly"
        " `~/.local/share/convmem/memory.db`.",
        show_default=False,
        rich_help_panel=_WHERE,
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        envvar="CONVMEM_USER",
        help="Whose memory. Left out: the only user there is.",
        show_default=False,
        autocompletion=known_users,
        rich_help_panel=_WHERE,
    ),
]
OnlyUser = Annotated[
    str | None,
    typer.Option("--user", "-u", envvar="CONVMEM_USER", help="Only this user's.", show_default=False),
]
NoUser = Annotated[
    bool,
    typer.Option("--no-user", help="Sessions that belong to no user.", rich_help_panel=_WHERE),
]
As = Annotated[
    str | None,
    typer.Option(
        "--user",
        "-u",
        envvar="CONVMEM_USER",
        help="Whose memory. Left out: `me`.",
        show_default=False,
        autocompletion=known_users,
        rich_help_panel=_WHERE,
    ),
]
SessionName = Annotated[
    str | None,
    typer.Option(
        "--session",
        "-s",
        help="Only this conversation.",
        show_default=False,
        autocompletion=known_sessions,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Plain = Annotated[bool, typer.Option("--plain", help="No colours and no progress bars.")]
