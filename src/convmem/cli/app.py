"""The commands and what they have in common. A new command: a module beside this one, and a line below."""

from __future__ import annotations

from typing import Annotated

import typer

from convmem import __version__
from convmem.cli import bench, chat, demo, doctor, forgetting, moving, reading, receipts

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Begin with **convmem demo**: a conversation of 324 turns, asked without and with"
    " memory. It runs offline, needs no key, and takes a minute or two.",
)

_TRY, _LOOK, _KEEP = "Try it", "Look at a memory", "Keep it"

app.command("demo", rich_help_panel=_TRY)(demo.demo)
app.command("chat", rich_help_panel=_TRY)(chat.chat)
app.command(
    "bench",
    rich_help_panel=_TRY,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(bench.bench)
app.command("sessions", rich_help_panel=_LOOK)(reading.sessions)
app.command("show", rich_help_panel=_LOOK)(reading.show)
app.command("recall", rich_help_panel=_LOOK)(reading.recall)
app.command("receipts", rich_help_panel=_LOOK)(receipts.receipts)
app.command("stats", rich_help_panel=_LOOK)(reading.stats)
app.command("import", rich_help_panel=_KEEP)(moving.import_)
app.command("export", rich_help_panel=_KEEP)(moving.export)
app.command("forget", rich_help_panel=_KEEP)(forgetting.forget)
app.command("doctor", rich_help_panel=_KEEP)(doctor.doctor)


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

    Exit codes: 0 all is well; 1 trouble, or nothing was done; 2 input that cannot be used; 130 interrupted.
    """
