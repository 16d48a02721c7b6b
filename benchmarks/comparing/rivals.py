"""What convmem is compared with: the baselines and the peers, over one conversation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from convmem.bench.replay import Context, embedded_texts
from convmem.bench.rows import ranked

from . import baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convmem.bench.datasets import Conversation, Question
    from convmem.bench.rows import Ranked
    from convmem.bench.vectors import CachedOnDisk

    from .peers import Peer

__all__ = ["Asked", "Rivals", "spoken_texts"]

_PEERS_GIVE = 400
"""Turns that a peer is asked for: as many as baselines look at when they fill a budget."""


def spoken_texts(conversation: Conversation) -> list[str]:
    """What is embedded of each turn for everything but convmem: the text behind the speaker's name.

    convmem leaves the name out of vectors, because it knows who speaks; plain cosines need it.
    """
    return [
        f"{turn.speaker}: {text}" if turn.speaker else text
        for turn, text in zip(conversation.turns, embedded_texts(conversation), strict=True)
    ]


class Rivals:
    """The baselines and peers.

    Args:
        conversation: what they may use, as far as each question allows.
        cached: gives the vectors; None without an embedder.
        wanted: names of baselines.
        peers: other memories, empty as yet, by name.
        count: counts tokens.
    """

    def __init__(
        self,
        conversation: Conversation,
        cached: CachedOnDisk | None,
        wanted: Sequence[str],
        peers: Mapping[str, Peer],
        count: Callable[[str], int],
    ) -> None:
        self._wanted = wanted
        self._peers = peers
        self._count = count
        self._cached = cached
        turns = [(session, turn) for session in conversation.sessions for turn in session.turns]
        labels = [f"{turn.speaker or turn.role}: {turn.text}" for _, turn in turns]
        self._lines = [
            baselines.Line(turn.id, session.name, session.at.date().isoformat(), label)
            for (session, turn), label in zip(turns, labels, strict=True)
        ]
        self._row = {line.id: row for row, line in enumerate(self._lines)}
        self._sessions = np.array([session.name for session, _ in turns])
        self._ahead = [0 if turn.speaker else len(turn.role) + 2 for _, turn in turns]
        texts = [label[ahead:] for label, ahead in zip(labels, self._ahead, strict=True)]
        spoken = spoken_texts(conversation)
        needed = cached is not None and not baselines.DENSE.isdisjoint(wanted)
        vectors = cached.embed(spoken, "passage") if cached is not None and needed else None
        self._corpus = baselines.Corpus(texts, vectors)
        self._spoken = spoken
        self._told = 0
        self._everything: dict[tuple[int, str | None], int] = {}

    def ask(self, question: Question) -> dict[str, Asked]:
        """What each would give for a question."""
        usable = np.arange(len(self._lines)) < question.known
        if question.session is not None:
            usable &= self._sessions != question.session
        vector = self._cached.embed([question.text], "query")[0] if self._cached is not None else None
        gold = [self._row[id_] for id_ in question.gold]
        asked: dict[str, Asked] = {}
        for name in self._wanted:
            order, margin = self._corpus.order(name, question.text, vector, usable, gold)
            asked[name] = Asked(self, question, order, margin, trims=name == "bm25-trim")
        self._tell(question.known)
        for name, peer in self._peers.items():
            most = int(np.count_nonzero(~usable[: question.known])) + _PEERS_GIVE
            began = time.perf_counter()
            ids = peer.search(question.text, min(most, question.known))
            ms = (time.perf_counter() - began) * 1_000
            rows = [self._row[id_] for id_ in ids if usable[self._row[id_]]]
            asked[name] = Asked(self, question, np.array(rows, dtype=np.intp), None, ms=ms)
        return asked

    def _tell(self, known: int) -> None:
        """Give the peers the turns that were said before this position."""
        begin, self._told = self._told, max(self._told, known)
        for peer in self._peers.values():
            rows = range(begin, self._told)
            peer.add([self._lines[row].id for row in rows], [self._spoken[row] for row in rows])

    def context(self, asked: Asked, budget: int | None) -> Context:
        """A context of at most so many tokens; None for all there is."""

        def line(row: int) -> baselines.Line:
            whole = self._lines[row]
            if not asked.trims:
                return whole
            text, share = self._corpus.trimmed(row, asked.question.text)
            label = whole.text[: self._ahead[row]]
            return baselines.Line(whole.id, whole.session, whole.date, label + text, share)

        text, shown = baselines.fill(
            asked.order, line, budget, self._count, question=asked.question.text, now=asked.question.now
        )
        shares = {line.id: line.share for line in shown if line.share < 1}
        return Context(text, {line.id for line in shown if line.share >= 1}, shares, asked.ms)

    def all_tokens(self, asked: Asked) -> int:
        """The tokens of everything: counted once, line by line (a whole of megabytes takes too long)."""
        key = (asked.question.known, asked.question.session)
        if key not in self._everything:
            rows: list[int] = asked.order.tolist()
            self._everything[key] = sum(self._count(self._lines[row].text + "\n") for row in rows)
        return self._everything[key]

    def ids(self, order: Sequence[int]) -> list[tuple[str, str]]:
        """Turns and their sessions, by row."""
        return [(self._lines[row].id, self._lines[row].session) for row in order]


class Asked:
    """One system's order for one question."""

    def __init__(
        self,
        rivals: Rivals,
        question: Question,
        order: baselines.Order,
        margin: float | None,
        *,
        trims: bool = False,
        ms: float | None = None,
    ) -> None:
        self._rivals = rivals
        self.question = question
        self.order = order
        self.margin = margin
        self.trims = trims
        self.ms = ms

    def ranked(self) -> Ranked:
        """The order, as it is kept."""
        return ranked(self._rivals.ids(self.order.tolist()), self.margin)
