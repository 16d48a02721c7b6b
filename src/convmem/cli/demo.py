"""`convmem demo`: a long conversation, asked about without and with memory, offline."""

from __future__ import annotations

import dataclasses
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convmem import __version__
from convmem.cli.demo_screen import Show
from convmem.cli.screen import Screen
from convmem.demo.data import Question, chitchat, conversation, plain_first
from convmem.demo.data import questions as known_questions
from convmem.errors import InputError, MissingExtraError
from convmem.importers import read
from convmem.policy import WindowPolicy, resolve_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from convmem.demo.play import Asked
    from convmem.policy import Policy

__all__ = ["demo"]

_SMALL_TALK = 10
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

    A made-up conversation of 324 turns in English and Chinese is remembered. Then questions about it are
    asked in a new session, once through a bare OpenAI client and once through a wrapped one, against a
    provider on this machine. No model answers: what is compared is what a model would have received. Nothing
    leaves this machine and nothing is downloaded.

    **Examples**

    - `convmem demo`

    - `convmem demo --data conversations.json --ask "what did we say about the flat?"`
    """
    try:
        from convmem.demo.play import Demo  # noqa: PLC0415 (needs openai)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise MissingExtraError(
            "the demo wraps an OpenAI client: pip install openai (the extra `openai` of convmem)"
        ) from error

    started = time.perf_counter()
    screen = Screen(plain=plain)
    show = Show(screen, silent=as_json)
    chosen = _policy(policy, budget)
    rows = conversation() if data is None else tuple(read(data))
    to_ask = _to_ask(ask, questions, seed, show, own=data is not None)
    path = store if store is not None else Path(tempfile.mkdtemp(prefix="convmem-demo-")) / "demo.db"
    with screen.quiet(show.warned), Demo(path, policy=chosen, embedder=embedder) as played:
        show.begins(data.name if data is not None else None, to_ask)
        ids = played.remember(rows, days_after=data is None)
        recorded_s = time.perf_counter() - started
        with show.waiting(len(ids), embeds=played.embedder is not None) as tell:
            ready = played.settle(seconds - recorded_s, tell)
        speed = played.embedded / played.embed_seconds if played.embed_seconds else None
        told: dict[str, Any] = {
            "convmem": __version__,
            "policy": policy,
            "seed": seed,
            "conversation": {
                "source": data.name if data is not None else "built-in",
                "turns": len(ids),
                "sessions": len({row.session for row in rows}),
                "seconds": round(recorded_s, 2),
            },
            "vectors": {
                "embedder": played.embedder.fingerprint if played.embedder is not None else None,
                "embedded": played.embedded,
                "complete": ready,
                "turns_per_second": speed and round(speed, 2),
            },
        }
        show.remembered(told)
        asked = [show.asked(played.ask(question, ids), ready=ready) for question in to_ask]
        texts = random.Random(seed).sample(chitchat(), _SMALL_TALK)  # noqa: S311 (a draw, not a secret)
        told["questions"] = [each.as_json() for each in asked]
        told["small_talk"] = {"asked": _SMALL_TALK, "nothing_added": played.small_talk(texts)}
    told["summary"] = _summary(asked) | {"seconds": round(time.perf_counter() - started, 2)}
    told["store"] = {"path": str(path), "bytes": path.stat().st_size}
    if as_json:
        screen.json(told)
    else:
        show.ends(told, kept=store is not None)


def _summary(asked: Sequence[Asked]) -> dict[str, Any]:
    answerable = [each for each in asked if each.evidence]
    found = [each.found for each in answerable if each.found is not None]
    return {
        "asked": len(asked),
        "answerable": len(answerable),
        "found": len(found),
        "found_whole": sum(not quote.trimmed for quote in found),
        "median_tokens_added": round(statistics.median(each.receipt.tokens.recall for each in asked))
        if asked
        else None,
    }


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


def _policy(name: str, budget: int | None) -> Policy:
    found = resolve_policy(name)
    if budget is None:
        return found
    if not isinstance(found, WindowPolicy):
        raise InputError(f"{name} has no recall budget to change; leave --budget out")
    return dataclasses.replace(found, recall=budget)
