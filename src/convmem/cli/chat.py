"""`convmem chat`: talk to any model with a memory, in the terminal or through a pipe."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from convmem.cli import slash
from convmem.cli.cells import counted, shown
from convmem.cli.options import As, Database, Plain
from convmem.cli.place import ME, known_sessions, named_few, opened
from convmem.cli.screen import Screen
from convmem.errors import ConvmemError, InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import OpenAI

    from convmem.cli.conversation import Conversation
    from convmem.memory import Memory

__all__ = ["chat"]

_KEY_ENV = "OPENAI_API_KEY"
_NO_KEY = "unused"
"""What a provider on this machine gets, which wants none."""


def chat(
    message: Annotated[
        str | None, typer.Argument(help="Say this, print the answer, and leave.", show_default=False)
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            envvar="CONVMEM_MODEL",
            help="The model to ask. Left out: the provider's only one.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            envvar="OPENAI_BASE_URL",
            help="Any OpenAI-compatible provider, as `https://api.deepseek.com`. Left out: OpenAI.",
            show_default=False,
        ),
    ] = None,
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the provider's key.")
    ] = _KEY_ENV,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            "-s",
            help="The conversation to go on with, or to begin. Left out: a new one.",
            show_default=False,
            autocompletion=known_sessions,
        ),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the newest conversation.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="The system text of every request.", show_default=False)
    ] = None,
    policy: Annotated[
        str, typer.Option(help="full, window, lean, balanced, thorough, or a TOML file.")
    ] = "balanced",
    prices: Annotated[
        Path | None, typer.Option(help="Prices of your own, as docs/costs.md says.", show_default=False)
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="auto, local, none, or sentence-transformers:MODEL.")
    ] = "auto",
    db: Database = None,
    user: As = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each answer with its receipt as one line of JSON.")
    ] = False,
    plain: Plain = False,
) -> None:
    """Talk to a model that remembers: everything said before, in any conversation of this user.

    Only your newest message is written by this command; memory puts the conversation around it and quotes
    what fits. `/why` shows what was sent for the last answer, `/help` what else there is. Ctrl-C breaks an
    answer off, Ctrl-D leaves. Through a pipe, each line is a message.

    **Examples**

    - `convmem chat --base-url https://api.deepseek.com --model deepseek-flash --key-env DEEPSEEK_API_KEY`

    - `convmem chat --base-url http://localhost:11434/v1 --model qwen3 --continue`

    - `convmem chat --model gpt-5-mini "what did I say about the flat?"`
    """
    screen = Screen(plain=plain)
    if go_on and session is not None:
        raise InputError("give --session or --continue, not both")
    for name, text in (("the message", message), ("--system", system), ("--model", model)):
        _checked_text(name, text)
    with ExitStack() as stack:
        client = stack.enter_context(_client(base_url, key_env))
        memory = stack.enter_context(opened(db, make=True, embedder=embedder, policy=policy, prices=prices))
        stack.enter_context(screen.noting())
        if user is None and (others := _others(memory)):
            screen.note(f"nothing is kept of {ME} yet; this memory is of {others}: --user NAME talks as them")
        talk = _conversation(
            memory, client, model=model, user=user or ME, session=session, go_on=go_on, system=system
        )
        stack.enter_context(talk.warming())
        if message is not None:
            _answer(talk, message, screen, as_json=as_json)
        elif as_json or not screen.can_prompt:
            for line in _typed():
                if line.strip() and not _line(talk, line.rstrip("\n"), screen, as_json=as_json):
                    break
        else:
            _at_the_terminal(talk, screen)


def _typed() -> Iterator[str]:
    """The lines of standard input.

    Raises:
        InputError: they are not in the encoding of the terminal, which is mostly UTF-8.
    """
    try:
        yield from sys.stdin
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not {error.encoding}: {error.reason}") from error


def _checked_text(name: str, text: str | None) -> None:
    """Refuse words of the command line that are not in the encoding of the terminal."""
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} has bytes that are no text; write it in UTF-8") from error


def _others(memory: Memory) -> str:
    """Whose the memory is when nothing of it is of who talks without a name; empty when something is."""
    users = {session.user for session in memory.sessions()} - {None}
    return named_few(sorted(user for user in users if user is not None)) if ME not in users else ""


def _client(base_url: str | None, key_env: str) -> OpenAI:
    try:
        from openai import OpenAI  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "chat talks through openai's client: pip install openai (the extra `openai` of convmem)"
        ) from error
    key = os.environ.get(key_env)
    if not key and (base_url is None or key_env != _KEY_ENV):
        another = (
            "name another --base-url" if base_url is None else "leave --key-env out where none is wanted"
        )
        raise InputError(f"the environment variable {key_env} holds no key; set it, or {another}")
    return OpenAI(base_url=base_url, api_key=key or _NO_KEY)


def _conversation(
    memory: Memory,
    client: OpenAI,
    *,
    model: str | None,
    user: str,
    session: str | None,
    go_on: bool,
    system: str | None,
) -> Conversation:
    from convmem.cli.conversation import Conversation, model_of  # noqa: PLC0415 (needs openai)

    if go_on:
        known = memory.sessions(user=user)
        if not known:
            raise InputError(f"{user} has no conversation to go on with; leave --continue out")
        session = max(known, key=lambda found: found.created).name
    name = session if session is not None else f"{datetime.now().astimezone():chat-%Y-%m-%d-%H%M%S}"
    return Conversation(memory, client, model=model_of(client, model), user=user, session=name, system=system)


def _at_the_terminal(talk: Conversation, screen: Screen) -> None:
    """Ask for line after line until somebody leaves."""
    _complete_commands()
    sessions = talk.memory.sessions()
    turns = sum(session.turns for session in sessions if session.user == talk.user)
    head = f"{talk.model} · {talk.user}, {talk.session} · {counted(turns, 'turn')} remembered · /help"
    screen.out.print(Text(shown(head), "dim"))
    while True:
        try:
            line = screen.line(Text.assemble(("you", "bold green"), " ")).strip()
        except EOFError:
            screen.out.print()
            return
        except KeyboardInterrupt:  # an empty line, as in a shell
            screen.out.print()
            continue
        try:
            if line and not _line(talk, line, screen, as_json=False):
                return
        except ConvmemError as error:
            screen.out.print(Text(str(error), "red"))
        except KeyboardInterrupt:
            screen.out.print(Text(" (broken off; what had come is kept)", "dim"))


def _complete_commands() -> None:
    """Let the Tab key know the commands, and the arrow keys what was typed; where readline is there."""
    with suppress(ImportError):
        import readline  # noqa: PLC0415 (not on every platform)

        def known(typed: str, n: int) -> str | None:
            fitting = [name for name in slash.NAMES if name.startswith(typed)]
            return fitting[n] if n < len(fitting) else None

        readline.set_completer_delims(" ")
        readline.set_completer(known)
        readline.parse_and_bind("tab: complete")


def _line(talk: Conversation, line: str, screen: Screen, *, as_json: bool) -> bool:
    """A message or a command; False to leave. Programs that read JSON say messages only."""
    if line.startswith("/") and not as_json:
        return slash.run(line, talk, screen)
    _answer(talk, line, screen, as_json=as_json)
    return True


def _answer(talk: Conversation, text: str, screen: Screen, *, as_json: bool) -> None:
    """Say something, and print the answer as it comes.

    Raises:
        ConvmemError: the provider did not answer.
    """
    from openai import OpenAIError  # noqa: PLC0415 (an extra)

    from convmem.cli.conversation import in_words  # noqa: PLC0415 (needs openai)

    said: list[str] = []
    try:
        with screen.holding_notes():
            said.extend(_printed(talk, text, screen, silent=as_json))
    except OpenAIError as error:
        if said and not as_json:
            sys.stdout.write("\n")
        raise ConvmemError(shown(in_words(talk.client, error))) from error
    if not said:
        raise ConvmemError("the provider sent no text; see whether --base-url and --model are what you mean")
    receipt = talk.receipt
    if as_json:
        row = {"session": talk.session, "answer": "".join(said), "receipt": receipt}
        screen.json(row, line=True)
    elif screen.can_prompt and receipt is not None:
        cached = f", {receipt.cached_tokens} from the provider's cache" if receipt.cached_tokens else ""
        quoted = counted(len(receipt.recalled), "older turn")
        cost = f", ${receipt.cost.total:.6f}" if receipt.cost is not None else ""
        screen.out.print(
            Text(f"{quoted} quoted, about {receipt.tokens.total} tokens sent{cached}{cost} · /why", "dim")
        )


def _printed(talk: Conversation, text: str, screen: Screen, *, silent: bool) -> Iterator[str]:
    """Print an answer as it comes, thoughts dimmed; gives the pieces of the answer itself."""
    thinking = False
    for piece in talk.ask(text):
        if not piece.thought:
            yield piece.text
        if silent or (piece.thought and not screen.can_prompt):
            continue
        if thinking and not piece.thought:
            screen.out.print("\n")
        thinking = piece.thought
        if piece.thought:
            screen.out.print(Text(shown(piece.text), "dim italic"), end="", soft_wrap=True)
        else:
            sys.stdout.write(shown(piece.text))
            sys.stdout.flush()
    if not silent:
        sys.stdout.write("\n")
        sys.stdout.flush()
