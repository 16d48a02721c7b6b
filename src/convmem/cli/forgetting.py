"""`convmem forget`: shown first, then asked, then done and checked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from convmem.cli.cells import counted, cropped, shown
from convmem.cli.options import Database, Json, NoUser, Plain, SessionName, User
from convmem.cli.place import opened, owner, session_of
from convmem.cli.screen import Screen
from convmem.errors import InputError

if TYPE_CHECKING:
    from convmem.memory import Memory
    from convmem.types import ForgetReport, Turn

__all__ = ["agreed", "forget", "preview"]

_SHOWN = 10


def forget(
    *,
    text: Annotated[
        str | None,
        typer.Option(
            help="Turns and pins that hold this text, capitals and widths alike.", show_default=False
        ),
    ] = None,
    turn: Annotated[
        list[str] | None, typer.Option(help="This turn, by its id. Repeatable.", show_default=False)
    ] = None,
    session: SessionName = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All of the user's memory, pins too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be forgotten.")] = False,
    db: Database = None,
    user: User = None,
    no_user: NoUser = False,
    as_json: Json = False,
    plain: Plain = False,
) -> None:
    """Forget for good: from the journal, the indexes, the summaries and the file.

    What would go is shown first, and only a yes forgets it. Without `--text` and `--turn`, the whole session.
    What an app sends again as old history is not remembered again.

    **Examples**

    - `convmem forget --text "my old address" --dry-run`

    - `convmem forget --session kyoto`

    - `convmem forget --user alice --everything --yes`
    """
    screen = Screen(plain=plain)
    _one_of_them(everything=everything, something=bool(text or turn or session))
    with opened(db) as memory:
        whose = owner(memory, user, no_user=no_user)
        if whose is None and session is None:
            raise InputError("a session without a user is remembered for itself: say which, --session NAME")
        name = None if session is None else session_of(memory, session, whose).name

        def do(*, dry: bool) -> ForgetReport:
            return memory.forget(user=whose, session=name, turn_ids=turn or None, text=text, dry_run=dry)

        plan = do(dry=True)
        nothing = not (plan.turn_ids or plan.pins)
        if not as_json:
            preview(memory, plan, screen)
        if nothing or dry_run:
            if as_json:
                screen.json({**asdict(plan), "verified": None})
            return
        if not yes and not agreed(screen, plan, as_json=as_json):
            raise typer.Exit(1)
        done = do(dry=False)
        gone = memory.verify_forgotten(done)
    if as_json:
        screen.json({**asdict(done), "verified": gone})
    else:
        screen.out.print(_told(done, gone=gone))
    if not gone:
        raise typer.Exit(1)


def _one_of_them(*, everything: bool, something: bool) -> None:
    if not (something or everything):
        raise InputError("say what to forget: --text, --turn, --session or --everything")
    if everything and something:
        raise InputError("--everything is all there is; leave --text, --turn and --session out")


def preview(memory: Memory, plan: ForgetReport, screen: Screen) -> None:
    """Show what would be forgotten: the first turns, and how many there are."""
    ids = set(plan.turn_ids)
    turns: list[Turn] = []
    for found in memory.sessions(user=plan.user):
        if ids and (plan.session in {None, found.name}):
            here = memory.turns(session=found.name, user=plan.user, branches=True)
            turns += [turn for turn in here if turn.id in ids]
    for turn in turns[:_SHOWN]:
        head = f"{turn.at.astimezone():%Y-%m-%d} {turn.id} {turn.name or turn.role}: "
        screen.out.print(
            Text.assemble((shown(head), "dim"), cropped(turn.text, max(20, screen.out.width - len(head))))
        )
    if len(turns) > _SHOWN:
        screen.out.print(f"… and {len(turns) - _SHOWN} more")
    screen.out.print(f"{_counted(plan)} would be forgotten.")


def _counted(report: ForgetReport) -> str:
    pinned = f" and {counted(report.pins, 'pin')}" if report.pins else ""
    return counted(len(report.turn_ids), "turn") + pinned


def agreed(screen: Screen, plan: ForgetReport, *, as_json: bool = False) -> bool:
    """Whether somebody says yes to it.

    Raises:
        InputError: there is no terminal at which to ask.
    """
    if as_json or not screen.can_prompt:
        raise InputError(
            "nobody is there to ask; --yes of `convmem forget` forgets without asking, --dry-run only shows"
        )
    answer = screen.out.input(f"Forget {_counted(plan)} for good? [y/N] ", markup=False)
    if answer.strip().casefold() in {"y", "yes", "是"}:
        return True
    screen.out.print("Nothing was forgotten.")
    return False


def _told(done: ForgetReport, *, gone: bool) -> str:
    if gone:
        return f"{_counted(done)} forgotten; nothing of it is left in the file."
    return (
        f"{_counted(done)} forgotten, but somebody reads the file just now and copies may be left; "
        "they go when the memory is next forgotten from or verified."
    )
