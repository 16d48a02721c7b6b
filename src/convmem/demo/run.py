"""A demo from the first turn to the figures; whoever shows it is told what happens."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from convmem import __version__
from convmem.demo import scenes
from convmem.demo.data import chitchat, conversation
from convmem.demo.report import Report
from convmem.demo.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from convmem.demo.data import Question
    from convmem.demo.report import Asked, Chat
    from convmem.importers import Imported
    from convmem.policy import Policy

__all__ = ["Script", "Watcher", "run"]

_SMALL_TALK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What to play.

    Attributes:
        store: the file to make.
        policy: what is sent.
        policy_name: what to call it.
        embedder: as `Memory` takes it.
        seed: draws the small talk.
        seconds: how long to remember the conversation at most before asking about it.
        questions: what to ask; may be asked for one by one.
        own: a chat of the user's own instead of the built-in one.
        source: what to call that.
    """

    store: Path
    policy: Policy
    policy_name: str
    embedder: str
    seed: int
    seconds: float
    questions: Iterable[Question]
    own: tuple[Imported, ...] | None = None
    source: str = "built-in"


class Watcher(Protocol):
    """Whoever shows a demo."""

    def begins(self, turns: int, embedder: str | None) -> None:
        """So many turns are about to be remembered, with this embedder."""
        ...

    def goes_on(self, journaled: int, embedded: int) -> None:
        """So many turns are journaled and embedded by now."""
        ...

    def remembered(self, chat: Chat, embedded: int, seconds: float, *, ready: bool) -> None:
        """The conversation is remembered, its turns embedded in so many seconds.

        Not `ready`: some turns are not embedded yet.
        """
        ...

    def asked(self, asked: Asked) -> None:
        """A question was asked."""
        ...


def run(script: Script, watcher: Watcher) -> Report:
    """Play a demo.

    Raises:
        InputError: the store's file is there already, or something cannot be imported.
        StoreError: the store cannot be made.
    """
    with Stage(script.store, policy=script.policy, embedder=script.embedder) as stage:
        lines = conversation() if script.own is None else ()
        fingerprint = stage.embedder.fingerprint if stage.embedder is not None else None
        watcher.begins(len(script.own or lines), fingerprint)

        def journaled(turns: int) -> None:
            watcher.goes_on(turns, stage.embedded)

        if script.own is None:
            chat = scenes.play(stage, lines, journaled)
        else:
            chat = scenes.take_in(stage, script.own, script.source, journaled)
        left = script.seconds - stage.elapsed
        ready = stage.settle(left, lambda embedded: watcher.goes_on(chat.turns, embedded))
        embedded, embed_seconds = stage.embedded, stage.embed_seconds
        watcher.remembered(chat, embedded, embed_seconds, ready=ready)
        asked: list[Asked] = []
        for question in script.questions:
            asked.append(scenes.ask(stage, question, chat, session="demo-questions"))
            watcher.asked(asked[-1])
        texts = random.Random(script.seed).sample(chitchat(), _SMALL_TALK)  # noqa: S311 (a draw, not a secret)
        silent = scenes.small_talk(stage, texts, session="demo-small-talk")
        return Report(
            version=__version__,
            policy=script.policy_name,
            seed=script.seed,
            chat=chat,
            embedder=fingerprint,
            embedded=embedded,
            embed_seconds=embed_seconds,
            ready=ready,
            asked=tuple(asked),
            small_talk=len(texts),
            silent=silent,
            seconds=stage.elapsed,
            store=str(script.store),
            store_bytes=stage.memory.stats().bytes or 0,
        )
