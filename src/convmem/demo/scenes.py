"""The demo step by step: play a conversation or take one in, ask about it, talk small."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from convmem.demo.report import Asked, Chat, Quote
from convmem.demo.stage import MODEL, USER
from convmem.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from openai import OpenAI

    from convmem.demo.data import Line, Question
    from convmem.demo.stage import Stage
    from convmem.importers import Imported
    from convmem.testing import ReceivedRequest
    from convmem.types import Receipt

__all__ = ["ask", "play", "small_talk", "take_in"]

_LATER = timedelta(hours=12)
_PATIENCE_S = 10.0


def play(stage: Stage, lines: Sequence[Line], tell: Callable[[int], object]) -> Chat:
    """Hold the conversation again, call by call, as an app that sends its newest message alone.

    Args:
        stage: where.
        lines: user and assistant in turn; the provider answers with the conversation's own words.
        tell: called after each call with how many turns there are by now.
    """
    started = time.perf_counter()
    receipts: list[Receipt] = []
    for i in range(0, len(lines) - 1, 2):
        said, answer = lines[i], lines[i + 1]
        client = stage.memory.wrap(stage.client, user=USER, session=said.session)
        stage.clock.now = said.at
        stage.provider.script(_answering(stage, answer))
        receipt = _send(stage, client, said.content)
        if receipt is not None:
            receipts.append(receipt)
        tell(i + 2)
    seconds = time.perf_counter() - started
    stage.clock.now = max(line.at for line in lines) + _LATER
    ids = _ids(stage, lines)
    return Chat(
        source="built-in",
        turns=len(ids),
        sessions=len({line.session for line in lines}),
        ids=ids,
        seconds=seconds,
        receipts=tuple(receipts),
    )


def _answering(stage: Stage, answer: Line) -> Callable[[ReceivedRequest], Reply]:
    """The conversation's own reply, given when it was given."""

    def answered(_: ReceivedRequest) -> Reply:
        stage.clock.now = answer.at
        return Reply(answer.content)

    return answered


def _ids(stage: Stage, lines: Sequence[Line]) -> tuple[str, ...]:
    """The turn id of each line: sessions hold their lines in order."""
    until = time.monotonic() + _PATIENCE_S
    while stage.memory.stats().waiting and time.monotonic() < until:  # a slow disk
        time.sleep(0.05)
    turns = {name: iter(stage.memory.turns(user=USER, session=name)) for name in {li.session for li in lines}}
    return tuple(next(turns[line.session]).id for line in lines)


def take_in(stage: Stage, rows: Iterable[Imported], source: str, tell: Callable[[int], object]) -> Chat:
    """Journal a conversation that was held elsewhere.

    Args:
        stage: where.
        rows: its messages, from `convmem.importers`.
        source: what to call it.
        tell: called after each session with how many turns there are by now.
    """
    from convmem.importers import by_session  # noqa: PLC0415 (only where something is imported)

    started = time.perf_counter()
    ids: list[str] = []
    sessions = by_session(rows)
    for name, (messages, times) in sessions.items():
        ids += stage.memory.record(messages, user=USER, session=name, at=times)
        tell(len(ids))
    seconds = time.perf_counter() - started
    return Chat(source=source, turns=len(ids), sessions=len(sessions), ids=tuple(ids), seconds=seconds)


def ask(stage: Stage, question: Question, chat: Chat, *, session: str) -> Asked:
    """Ask without memory, then with it, and compare what the provider received."""
    _send(stage, stage.client, question.text)
    alone = stage.provider.requests[-1].messages
    client = stage.memory.wrap(stage.client, user=USER, session=session)
    receipt = _send(stage, client, question.text)
    remembered = stage.provider.requests[-1].messages
    assert receipt is not None  # noqa: S101 (a wrapped call has one)
    return Asked(
        question=question,
        alone=alone,
        remembered=remembered,
        quotes=_quotes(receipt, {chat.ids[i] for i in question.evidence}),
        tokens=receipt.tokens,
        prefix_tokens=receipt.prefix_tokens,
        ms=receipt.ms,
        notes=receipt.notes,
    )


def small_talk(stage: Stage, texts: Iterable[str], *, session: str) -> int:
    """Say what needs no memory; returns for how many messages nothing was added."""
    silent = 0
    client = stage.memory.wrap(stage.client, user=USER, session=session)
    for text in texts:
        receipt = _send(stage, client, text)
        silent += receipt is not None and not receipt.recalled
    return silent


def _send(stage: Stage, client: OpenAI, text: str) -> Receipt | None:
    response = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
    return stage.memory.receipt_for(response)


def _quotes(receipt: Receipt, evidence: Collection[str]) -> tuple[Quote, ...]:
    """The turns quoted, each with who said it."""
    best = sorted(receipt.recalled, key=lambda recalled: -recalled.score)
    ranks = {id(recalled): rank for rank, recalled in enumerate(best, 1)}
    return tuple(
        Quote(
            id=recalled.id,
            label=f"{recalled.speaker} {recalled.id}",
            date=recalled.date,
            text=recalled.text,
            score=recalled.score,
            rank=ranks[id(recalled)],
            why=recalled.why,
            tokens=recalled.tokens,
            whole=not recalled.trimmed,
            evidence=recalled.id in evidence,
        )
        for recalled in receipt.recalled
    )
