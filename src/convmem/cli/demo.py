"""`convmem demo`: the main job on real input, offline."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convmem.cli.demo_screen import Show
from convmem.cli.screen import Screen
from convmem.demo.data import Question, plain_first
from convmem.demo.data import questions as known_questions
from convmem.errors import InputError, MissingExtraError
from convmem.policy import WindowPolicy, resolve_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convmem.importers import Imported
    from convmem.policy import Policy

__all__ = ["demo"]

_LANGUAGE = ("LC_ALL", "LC_MESSAGES", "LANG")


def demo(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A chat of your own instead of the built-in one: OpenAI-style JSON Lines (a message or a "
            "conversation per line), the export of ChatGPT or Claude, or mem0's memories.",
            show_default=False,
        ),
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(help="Ask this instead of the demo's own questions. Repeatable.", show_default=False),
    ] = None,
    questions: Annotated[int, typer.Option(help="How many of the 40 built-in questions to ask.", min=0)] = 8,
    seed: Annotated[int, typer.Option(help="Draws the questions; another seed, others.")] = 7,
    policy: Annotated[
        str, typer.Option(help="full, window, lean, balanced, thorough, or a TOML file.")
    ] = "balanced",
    budget: Annotated[
        int | None,
        typer.Option(help="The most tokens recall may add; else the policy's.", min=0, show_default=False),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="The SQLite file to make; else one in a new temporary folder.", show_default=False),
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="auto, local, none, or sentence-transformers:MODEL.")
    ] = "auto",
    seconds: Annotated[
        float,
        typer.Option(
            help="When to ask the questions at the latest, be all turns embedded or not; mostly it takes"
            " a minute.",
            min=0,
        ),
    ] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="No colours and no progress bars.")] = False,
) -> None:
    """Ask a long conversation without and with memory, and see what the model would receive.

    A made-up conversation of 324 turns in English and Chinese runs through a wrapped OpenAI client, call by
    call, against a provider on this machine. Then questions about it are asked in a new session, once
    through the bare client and once through the wrapped one. No model answers: what is compared is what a
    model would have received. Nothing leaves this machine and nothing is downloaded.

    **Examples**

    - `convmem demo`

    - `convmem demo --data conversations.json --ask "what did we say about the flat?"`
    """
    try:
        from convmem.demo.run import Script, run  # noqa: PLC0415 (needs openai)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise MissingExtraError(
            "the demo wraps an OpenAI client: pip install openai (the extra `openai` of convmem)"
        ) from error

    screen = Screen(plain=plain)
    chosen = _policy(policy, budget)
    show = Show(screen, silent=as_json, own=data.name if data is not None else None, kept=store is not None)
    own = _own(data)
    asked = _to_ask(ask, questions, seed, show, own=own is not None)
    if isinstance(asked, list):
        show.will_ask(len(asked))
    script = Script(
        store=store if store is not None else Path(tempfile.mkdtemp(prefix="convmem-demo-")) / "demo.db",
        policy=chosen,
        policy_name=policy,
        embedder=embedder,
        seed=seed,
        seconds=seconds,
        questions=asked,
        own=own,
        source=data.name if data is not None else "built-in",
    )
    with screen.quiet(show.warned), show:
        report = run(script, show)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n")
    else:
        show.ends(report)


def _to_ask(ask: list[str] | None, n: int, seed: int, show: Show, *, own: bool) -> Iterable[Question]:
    """The questions: the user's own, drawn from the built-in ones, or as they are typed."""
    if ask:
        if not all(text.strip() for text in ask):
            raise InputError('a question is empty; say what to ask: --ask "…"')
        return [Question(id=f"ask{i}", text=text) for i, text in enumerate(ask, 1)]
    if own:
        if not show.can_prompt:
            raise InputError('only you know what to ask of your own chat: --ask "…", as often as you like')
        return _typed(show)
    known = known_questions()
    if n > len(known):
        raise InputError(f"there are {len(known)} questions, not {n}")
    drawn = random.Random(seed).sample(known, n)  # noqa: S311 (a draw, not a secret)
    spoken = next((value for name in _LANGUAGE if (value := os.environ.get(name))), "")
    return plain_first(drawn, "zh" if spoken.startswith("zh") else "en")


def _typed(show: Show) -> Iterator[Question]:
    n = 0
    while text := show.prompt():
        n += 1
        yield Question(id=f"ask{n}", text=text)


def _own(data: Path | None) -> tuple[Imported, ...] | None:
    if data is None:
        return None
    from convmem.importers import read  # noqa: PLC0415 (only where something is imported)

    return tuple(read(data))


def _policy(name: str, budget: int | None) -> Policy:
    found = resolve_policy(name)
    if budget is None:
        return found
    if not isinstance(found, WindowPolicy):
        raise InputError(f"{name} has no recall budget to change; leave --budget out")
    return dataclasses.replace(found, recall=budget)
