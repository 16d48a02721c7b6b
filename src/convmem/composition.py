"""One request being composed; see `convmem.composer`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from convmem.abilities import Epoch, EpochRef, OwnerRef, Pins
from convmem.composer import Block, Composed
from convmem.compress.protocol import CompressRequest
from convmem.context.limits import context_limit
from convmem.context.prefix import Sent
from convmem.context.render import (
    SEPARATOR,
    in_front,
    recall_block,
    recall_fence,
    speaks_chinese,
    summary_block,
    summary_fence,
)
from convmem.context.tokens import count_message
from convmem.policy import PolicyRequest
from convmem.protocols import TurnsRequest
from convmem.recaller import Question
from convmem.session.rounds import legal
from convmem.types import Recalled, Tokens
from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from convmem.composer import Composer
    from convmem.jobs import Call, Placement
    from convmem.policy import Plan, Policy
    from convmem.protocols import SessionRef
    from convmem.types import Message, Turn

__all__ = ["Composition"]

_REPLY_TOKENS = 4_096
_READ_TURNS = 200
_READ_TOKENS = 64_000
"""History read to fill a window, at most, when neither an epoch nor the model's limit says where to stop."""
_CONTEXT_TURNS = 2


class _Item(NamedTuple):
    """One message of the conversation as it stands for this call."""

    identity: bytes
    message: Message
    own: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class _Summary:
    """What stands for the rounds before the window; bytes that must not change until the next cut."""

    text: str = ""
    pins: tuple[str, ...] = ()
    chinese: bool = False

    def block(self) -> str:
        return summary_block(self.text, self.pins, chinese=self.chinese)

    def dumped(self) -> str:
        return json.dumps([self.text, self.pins, self.chinese], ensure_ascii=False) if self.block() else ""

    @staticmethod
    def loaded(text: str) -> _Summary:
        said, pins, chinese = json.loads(text) if text else ("", (), False)
        return _Summary(said, tuple(pins), chinese)


class Composition:
    """One request being composed."""

    def __init__(
        self, composer: Composer, call: Call, placement: Placement, policy: Policy, budget: int | None
    ) -> None:
        self.composer = composer
        self.call = call
        self.placement = placement
        self.policy = policy
        self.budget = budget
        self.request = call.request
        self.count = composer.ratios.counter(self.request.model)
        self.dialect = composer.dialects.of(call.host, self.request.model, call.at)
        self.store = composer.store
        self.recaller = composer.recaller
        self.tz = composer.tz
        self.ref: SessionRef = placement.ref
        self.which = EpochRef(placement.ref, call.host or "", self.request.model or "")
        anonymous = placement.ref.session if placement.ref.user is None else None
        self.owner = OwnerRef(placement.ref.user, anonymous)
        self.now: datetime = call.at.astimezone(self.tz)
        self.out = Composed()
        self.embedding: Future[NDArray[np.float32]] | None = None
        self.embed_s: float | None = None
        self.settings_tokens = tuple(count_message(m, self.count) for m in self.request.settings)
        self.tools_tokens = self.count(self.request.tools) if self.request.tools else 0
        self.system = sum(self.settings_tokens) + self.tools_tokens

    def run(self, embedding: Future[NDArray[np.float32]] | None, embed_s: float | None) -> Composed:
        """Decide what is sent, cut when it is time, recall, and put it together."""
        self.embedding, self.embed_s = embedding, embed_s
        started = time.perf_counter()
        epoch = self.composer.epoch(self.which)
        rounds = self._rounds(epoch)
        begins = _begins(rounds, epoch)
        start = begins or 0
        tokens = tuple(sum(item.tokens for item in r) for r in rounds)
        plan = self.policy.plan(PolicyRequest(tokens, start, self._room()))
        summary = _Summary.loaded(epoch.summary) if epoch is not None and begins is not None else _Summary()
        if plan.start > start:
            self.out.cut, self.out.cut_rounds = True, plan.start - start
            summary = self._cut(rounds, plan, summary)
        window = [item for r in rounds[plan.start :] for item in r]
        self.out.ms["compose"] = (time.perf_counter() - started) * 1_000
        block = self._recall(window, plan, summary)
        self._assemble(window, summary, block)
        return self.out

    def _room(self) -> int | None:
        limit = context_limit(self.request.model)
        if limit is None:
            return None
        return max(0, limit - self.system - (self.request.max_output or _REPLY_TOKENS))

    # The conversation as it stands.

    def _rounds(self, epoch: Epoch | None) -> list[list[_Item]]:
        """The rounds that may be sent: from the start of the epoch, or as far back as there is room."""
        placed, count = self.placement, self.count
        sent = zip(placed.alignment.identities, placed.own, strict=True)
        own = [_Item(identity, seen.message, True, seen.tokens(count)) for identity, seen in sent]
        items = [*self._earlier(epoch, sum(item.tokens for item in own)), *own]
        split: list[list[_Item]] = []
        for item in items:
            if not split or item.message.get("role") == "user":
                split.append([])
            split[-1].append(item)
        # A round that was broken off among tool calls cannot be sent; the caller's own are the caller's.
        return [r for r in split if r[-1].own or legal([item.message for item in r])]

    def _earlier(self, epoch: Epoch | None, own_tokens: int) -> list[_Item]:
        nodes = [node for node in self.placement.before if node.settled]
        room = self._room()
        left = (room if room is not None else _READ_TOKENS) - own_tokens
        if epoch is not None:
            starts = [i for i, node in enumerate(nodes) if node.identity == epoch.start]
            if starts:
                nodes = nodes[starts[0] :]
            elif epoch.start in self.placement.alignment.identities:
                nodes = []
        items: list[_Item] = []
        while nodes and left > 0:
            nodes, piece = nodes[:-_READ_TURNS], nodes[-_READ_TURNS:]
            messages = self.composer.messages(self.ref, [node.identity for node in piece])
            read = [
                self._put_back(node.identity, messages[node.identity])
                for node in piece
                if node.identity in messages
            ]
            items = [*read, *items]
            left -= sum(item.tokens for item in read)
        return items

    def _put_back(self, identity: bytes, message: Message) -> _Item:
        """A journaled message as the caller sent it to this provider before, or as this provider takes it."""
        seen = self.composer.seen.of(self.composer.form(self.which, identity) or self._sendable(message))
        return _Item(identity, seen.message, False, seen.tokens(self.count))

    def _sendable(self, message: Message) -> Message:
        return self.dialect.sendable(message, tools=bool(self.request.tools))

    # Cutting.

    def _cut(self, rounds: list[list[_Item]], plan: Plan, before: _Summary) -> _Summary:
        """Rounds leave the window; what stands for them is written once and stays until the next cut."""
        gone = [item for r in rounds[: plan.start] for item in r]
        chinese = speaks_chinese(text_of(rounds[-1][0].message))
        pins = tuple(self._pins())
        budget = plan.summary - summary_fence(self.count, pins, chinese=chinese)
        text = ""
        if budget > 0:
            rows = self._journaled(gone)
            request = CompressRequest(rows, before.text, budget, self.count)
            try:
                text = self.composer.compressor.compress(request)
            except Exception as error:  # noqa: BLE001 (a failed summary leaves the old one)
                self.out.notes.append(f"the summary failed ({error}); the one before it stays")
                text = before.text
        summary = _Summary(text, pins, chinese)
        self.composer.begin_epoch(self.which, Epoch(rounds[plan.start][0].identity, summary.dumped()))
        return summary

    def _journaled(self, items: list[_Item]) -> tuple[Turn, ...]:
        rows: list[Turn] = []
        for i in range(0, len(items), _READ_TURNS):
            wanted = tuple(item.identity for item in items[i : i + _READ_TURNS])
            rows += self.store.turns(TurnsRequest(ref=self.ref, identities=wanted, limit=2 * len(wanted)))
        return tuple({row.branch: row for row in reversed(rows)}.values())[::-1]

    def _pins(self) -> list[str]:
        return [pin.text for pin in self.store.pins(self.owner)] if isinstance(self.store, Pins) else []

    # Recalling.

    def _recall(self, window: list[_Item], plan: Plan, summary: _Summary) -> Block:
        """What goes in front of the newest user turn; once per round."""
        newest = next((item for item in reversed(window) if item.message.get("role") == "user"), None)
        nothing = Block("", (), 0, 0)
        if newest is None:
            return nothing
        started = time.perf_counter()
        try:
            return self._recalled(window, newest, plan, summary)
        except Exception as error:  # noqa: BLE001 (trouble with recall never breaks the chat)
            self.out.notes.append(
                f"recall failed ({type(error).__name__}: {error}); the call goes without it"
            )
            return nothing
        finally:
            self.out.ms["recall"] = (time.perf_counter() - started) * 1_000

    def _recalled(self, window: list[_Item], newest: _Item, plan: Plan, summary: _Summary) -> Block:
        loaded = self.recaller.load(self.owner)
        known = self.composer.block(self.which, newest.identity)
        if known is not None and known.redaction == loaded.redaction and self.budget is None:
            self.out.recalled = known.recalled
            return known
        pins = [pin for pin in self._pins() if pin not in summary.pins]
        budget = plan.recall if self.budget is None else self.budget
        text = text_of(newest.message)
        chinese = speaks_chinese(text)
        question = self._question(window, newest, text)
        quoted = ""
        if budget and loaded.holds_more_than(question.exclude):
            vectors, note = self.recaller.vectors_of(self.embedding, self.embed_s)
            if note:
                self.out.notes.append(note)
            ranking = self.recaller.rank(loaded, question, vectors)
            fence = recall_fence(self.count, pins, today=self.now.date(), chinese=chinese)
            packed = self.recaller.pack(self.owner, ranking, budget, self.count, fence=fence, tz=self.tz)
            quoted = packed.text
            speakers = {hit.id: hit.speaker or hit.role for hit in (*ranking.standing, *ranking.hits)}
            self.out.recalled = tuple(
                Recalled(
                    id=e.id,
                    speaker=speakers[e.id],
                    score=e.score,
                    why=e.why,
                    tokens=e.tokens,
                    text=e.text,
                    trimmed=e.trimmed,
                    session=e.session,
                    date=e.date,
                )
                for e in packed.excerpts
            )
        block = recall_block(quoted, pins, today=self.now.date(), chinese=chinese)
        made = Block(
            block, self.out.recalled, self.count(block) + SEPARATOR if block else 0, loaded.redaction
        )
        self.composer.keep_block(self.which, newest.identity, made)
        return made

    def _question(self, window: list[_Item], newest: _Item, text: str) -> Question:
        path = {node.identity for node in self.placement.before} | set(self.placement.alignment.identities)
        seqs = {node.identity: node.seq for node in self.placement.before} | dict(self.placement.seqs)
        visible = {f"t{seqs[item.identity]}" for item in window if item.identity in seqs}
        before = window[: window.index(newest)]
        context = tuple(text_of(item.message) for item in before[-_CONTEXT_TURNS:])
        return Question(
            owner=self.owner,
            text=text,
            now=self.now,
            context=context,
            session=self.ref.session,
            path=path,
            exclude=visible,
        )

    # Putting it together.

    def _assemble(self, window: list[_Item], summary: _Summary, block: Block) -> None:
        out, summary_text = self.out, summary.block()
        users = [i for i, item in enumerate(window) if item.message.get("role") == "user"]
        messages = [item.message for item in window]
        tokens = [item.tokens for item in window]
        newest = users[-1] if users else 0
        forms = ((item.identity, item.message) for item in window if item.own)
        self.composer.keep_forms(self.which, forms, self._sendable)
        own = sum(item.own for item in window)
        out.restored = len(window) - own
        out.dropped = len(self.request.turns) - own
        out.tokens = Tokens(
            system=self.system,
            summary=self.count(summary_text) + SEPARATOR if summary_text else 0,
            window=sum(tokens[:newest]),
            recall=block.tokens,
            new=sum(tokens[newest:]),
        )
        if users:
            messages[users[-1]] = in_front(messages[users[-1]], block.text)
            messages[users[0]] = in_front(messages[users[0]], summary_text)
            tokens[users[-1]] += out.tokens.recall
            tokens[users[0]] += out.tokens.summary
        arranged = self.dialect.arranged([(m, item.own) for m, item in zip(messages, window, strict=True)])
        everything = [*self.request.settings, *arranged]
        if out.restored or out.dropped or summary_text or block.text:
            if self._breaks_json_mode(everything):
                everything = [*self.request.settings, *self.request.turns]
                self._as_made()
            else:
                out.messages = everything
        counted = dict(zip(map(id, messages), tokens, strict=True))
        self._sent(everything, counted)

    def _sent(self, messages: list[Message], counted: dict[int, int]) -> None:
        """Say what the request shares with the one before it; `counted` has the tokens of known messages."""
        counted |= dict(zip(map(id, self.request.settings), self.settings_tokens, strict=True))
        tokens = (counted.get(id(m)) or count_message(m, self.count) for m in messages)
        sent = Sent(self.request.tools, tuple(messages), tuple(tokens), self.tools_tokens)
        self.out.prefix_tokens = self.composer.sent(self.which, sent, self.count)

    def _breaks_json_mode(self, messages: Sequence[Message]) -> bool:
        """Whether these messages lack the word that JSON mode asks for, and the caller's have it."""
        if not self.request.json_mode or not self.dialect.breaks_json_mode(messages):
            return False
        return not self.dialect.breaks_json_mode([*self.request.settings, *self.request.turns])

    def _as_made(self) -> None:
        """The call goes out as it was made."""
        out = self.out
        new = sum(count_message(turn, self.count) for turn in self.request.turns)
        out.restored = out.dropped = 0
        out.recalled = ()
        out.tokens = Tokens(system=self.system, new=new)
        out.notes.append(
            "JSON mode needs the word JSON, which memory left out: the call goes out as it was made"
        )


def _begins(rounds: list[list[_Item]], epoch: Epoch | None) -> int | None:
    """The round with which the epoch's window begins; None before the first cut, and on another branch."""
    if epoch is None:
        return None
    return next((i for i, r in enumerate(rounds) if any(item.identity == epoch.start for item in r)), None)
