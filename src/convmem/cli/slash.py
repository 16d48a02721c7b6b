"""What can be said to `convmem chat` instead of a message: lines that begin with a slash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from convmem.cli.cells import counted, cropped, shown
from convmem.cli.forgetting import agreed, preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.cli.conversation import Conversation
    from convmem.cli.screen import Screen
    from convmem.types import Receipt

__all__ = ["NAMES", "run"]

_HITS = 5


def run(line: str, chat: Conversation, screen: Screen) -> bool:
    """Do what a line asks for; False when it is time to leave.

    Raises:
        ConvmemError: it cannot be done.
    """
    name, _, rest = line.strip().partition(" ")
    if name in {"/quit", "/exit"}:
        return False
    command = _COMMANDS.get(name)
    if command is None:
        screen.out.print(f"There is no {shown(name)}; /help lists what there is.", markup=False)
    else:
        command[0](chat, screen, rest.strip())
    return True


def _why(chat: Conversation, screen: Screen, _: str) -> None:
    """What was sent for the last answer, and what was remembered for it."""
    receipt = chat.receipt
    if receipt is None:
        screen.out.print("Nothing was asked yet.")
        return
    width = screen.out.width
    for quoted in receipt.recalled:
        head = f"{quoted.date} {quoted.id} {quoted.speaker}, {quoted.tokens} tokens, score {quoted.score:.1f}"
        why = ", ".join(quoted.why)
        screen.out.print(Text.assemble((shown(head), "cyan"), (f" ({why})" if why else "", "dim")))
        screen.out.print(Text("  " + cropped(quoted.text, width - 2)))
    if not receipt.recalled:
        screen.out.print("No memory was quoted.")
    screen.out.print(Text(_sent(receipt), "dim"))
    for note in receipt.notes:
        screen.out.print(Text(f"note: {note}", "yellow"))


def _sent(receipt: Receipt) -> str:
    tokens = receipt.tokens
    parts = {
        "system": tokens.system,
        "pins": tokens.pins,
        "summary": tokens.summary,
        "window": tokens.window,
        "recall": tokens.recall,
        "new": tokens.new,
    }
    said = " + ".join(f"{name} {n}" for name, n in parts.items() if n)
    kept = receipt.prefix_tokens
    prefix = "" if kept is None else f"; {kept} of them begin as the request before did"
    ms = ", ".join(f"{step} {value:.0f}" for step, value in receipt.ms.items())
    saved = "" if receipt.journaled else "; NOT journaled yet"
    return f"about {tokens.total} tokens sent: {said}{prefix}; ms: {ms}{saved}"


def _remember(chat: Conversation, screen: Screen, text: str) -> None:
    """Keep a text always in context; without a text, list what is kept."""
    if text:
        pin = chat.memory.pin(text, user=chat.user)
        screen.out.print(f"Kept in every request from now on; /unpin {pin} takes it away.", markup=False)
        return
    pins = chat.memory.pins(user=chat.user)
    for kept in pins:
        screen.out.print(Text(f"{kept.id} {kept.at.astimezone():%Y-%m-%d} {shown(kept.text)}"))
    if not pins:
        screen.out.print("Nothing is kept. /remember TEXT keeps one.")


def _unpin(chat: Conversation, screen: Screen, pin_id: str) -> None:
    """Take away what /remember keeps, by its id."""
    chat.memory.unpin(pin_id, user=chat.user)
    screen.out.print("Taken away; no request has it any more.")


def _forget(chat: Conversation, screen: Screen, text: str) -> None:
    """Forget all turns that hold a text, for good; shown first, then asked."""
    if not text:
        screen.out.print("Say what: /forget TEXT. `convmem forget --help` has other ways.")
        return
    plan = chat.memory.forget(user=chat.user, text=text, dry_run=True)
    preview(chat.memory, plan, screen)
    if not (plan.turn_ids or plan.pins):
        return
    if not agreed(screen, plan):
        return
    done = chat.memory.forget(user=chat.user, text=text)
    left = "" if chat.memory.verify_forgotten(done) else "; copies go when nobody reads the file any more"
    screen.out.print(f"Forgotten{left}.")


def _recall(chat: Conversation, screen: Screen, query: str) -> None:
    """Search the memory."""
    hits = chat.memory.recall(query, user=chat.user, top_k=_HITS)
    for hit in hits:
        head = f"{hit.turn.at.astimezone():%Y-%m-%d} {hit.turn.id} {hit.score:.1f} "
        screen.out.print(Text.assemble((head, "cyan"), cropped(hit.turn.text, screen.out.width - len(head))))
    if not hits:
        screen.out.print("Nothing found.")


def _cost(chat: Conversation, screen: Screen, _: str) -> None:
    """Tokens and money of this run: sent, cached, answered."""
    totals = chat.totals
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("calls", f"{totals.calls:,}")
    table.add_row("older turns quoted", f"{totals.recalled:,}")
    table.add_row("tokens sent, estimated", f"{totals.estimated:,}")
    if totals.prompt:
        table.add_row("tokens sent, by the provider", f"{totals.prompt:,}")
        table.add_row("  of them from its cache", f"{totals.cached:,} ({totals.cached / totals.prompt:.0%})")
        table.add_row("tokens answered", f"{totals.completion:,}")
    if totals.calls > totals.unpriced:
        without = f" ({totals.unpriced} calls have no price)" if totals.unpriced else ""
        table.add_row("at list prices", f"${totals.cost:.6f}{without}")
    screen.out.print(table)
    if totals.calls and totals.calls == totals.unpriced:
        screen.out.print("No price is known for this model at this host; --prices FILE has your own.")
    if totals.calls and not totals.prompt:
        screen.out.print("The provider told no usage.")


def _session(chat: Conversation, screen: Screen, name: str) -> None:
    """Go to another conversation; without a name, list them."""
    if name:
        chat.go_to(name)
        screen.out.print(f"This is {shown(name)} now.", markup=False)
        return
    for session in chat.memory.sessions(user=chat.user):
        mark = "*" if session.name == chat.session else " "
        screen.out.print(f"{mark} {shown(session.name)}, {counted(session.turns, 'turn')}", markup=False)


def _help(_: Conversation, screen: Screen, __: str) -> None:
    """List all of these."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, (command, argument) in _COMMANDS.items():
        table.add_row(f"{name} {argument}".rstrip(), (command.__doc__ or "").strip())
    table.add_row("/quit", "Leave; so does Ctrl-D. Ctrl-C breaks an answer off.")
    screen.out.print(table)


_COMMANDS: dict[str, tuple[Callable[[Conversation, Screen, str], None], str]] = {
    "/why": (_why, ""),
    "/remember": (_remember, "[TEXT]"),
    "/unpin": (_unpin, "ID"),
    "/forget": (_forget, "TEXT"),
    "/recall": (_recall, "TEXT"),
    "/cost": (_cost, ""),
    "/session": (_session, "[NAME]"),
    "/help": (_help, ""),
}

NAMES = (*_COMMANDS, "/quit")
"""For the Tab key."""
