"""The commands and what they have in common. A new command: a module beside this one, and a line below."""

from __future__ import annotations

from typing import Annotated

import typer

from convmem import __version__
from convmem.cli import demo

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Begin with **convmem demo**: a conversation of 324 turns, asked without and with"
    " memory. It runs offline, needs no key, and takes less than a minute.",
)

app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it)
    if wanted:
        typer.echo(f"convmem {__version__}")
        raise typer.Exit


@app.callback()
def convmem(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and exit."),
    ] = False,
) -> None:
    """Long memory for any chat model: one line around the chat client, a receipt for every call.

    Everything this command does, the library does: **import convmem**.
    """
