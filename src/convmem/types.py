"""The frozen values that convmem hands out: turns, sessions, receipts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from convmem.wire.usage import cached_tokens
from convmem.wire.values import Message, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "MODES",
    "Cost",
    "ForgetReport",
    "Health",
    "Hit",
    "Ledger",
    "Message",
    "Mode",
    "Prepared",
    "Recalled",
    "Receipt",
    "Repaired",
    "Session",
    "State",
    "Stats",
    "Tokens",
    "Turn",
]

Mode = Literal["on", "off", "read", "write"]
"""What memory does with a call: all of it, nothing, use but not journal, journal but not use."""

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One chat message as it was journaled.

    Attributes:
        id: its name in this store, stable until it is forgotten.
        seq: its place in the journal's order; greater means written later.
        session: the session it belongs to.
        user: the owner of the memory, or None.
        parent: the id of the turn before it in its branch; None at the start of a branch or after a
            forgotten turn.
        role: `user`, `assistant`, `tool`, …
        text: the words a person would read; empty for a bare tool call.
        payload: the message exactly as the caller or the provider gave it.
        state: whether it awaits its reply, is settled, was broken off or refused; see `State`.
        at: when it was said, an aware datetime.
        choice: 0, or which of several replies of one call (`n > 1`) it was.
        branch: the identity of its position in the conversation, an opaque hex string.
    """

    id: str
    seq: int
    session: str
    user: str | None
    parent: str | None
    role: str
    text: str
    payload: Message = field(repr=False)
    state: State
    at: datetime
    choice: int = 0
    branch: str = field(default="", repr=False)

    @property
    def name(self) -> str | None:
        """The speaker's name, when the message carried one."""
        name = self.payload.get("name")
        return name if isinstance(name, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation.

    Attributes:
        name: the caller's string for it, or the one convmem made.
        user: the owner of the memory, or None.
        created: when its first turn was journaled.
        turns: how many turns it holds, all branches together.
    """

    name: str
    user: str | None
    created: datetime
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much a store holds.

    Attributes:
        users: how many users have memory in it.
        sessions: how many sessions, those without a user included.
        turns: how many turns, all branches together.
        calls: how many calls to providers were made.
        waiting: how many writes this process has accepted and not yet committed.
        bytes: the size of its files; None where the store does not know it.
    """

    users: int
    sessions: int
    turns: int
    calls: int
    waiting: int = 0
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The findings of `Memory.check`.

    Attributes:
        problems: one sentence for each damage that was found; empty when the journal is sound.
        turns: how many turns there are.
        damaged: ids of turns whose index entry cannot be read; `check(mend=True)` makes it anew from the
            journal.
        without_words: how many turns have no index entry yet, so that recall cannot find them by their words.
        without_vectors: how many turns have no vector yet, so that recall cannot find them by their meaning;
            None without an embedder.
        log_bytes: the size of the write-ahead log, in bytes; 0 where the store has none.
        free_bytes: the size of the file's unused pages, in bytes; 0 where the store has none.
    """

    problems: tuple[str, ...] = ()
    turns: int = 0
    damaged: tuple[str, ...] = ()
    without_words: int = 0
    without_vectors: int | None = None
    log_bytes: int = 0
    free_bytes: int = 0

    @property
    def sound(self) -> bool:
        """Nothing is damaged that cannot be made again."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The outcome of `convmem.repair`.

    Attributes:
        copy: where the damaged file was kept. What is forgotten later is not forgotten in this copy: delete
            it when you no longer need it.
        turns: how many turns were kept.
        lost: how many turns the file names and has no words of; damage may hide more.
    """

    copy: Path
    turns: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Estimated tokens of one request, by where they came from.

    Attributes:
        system: the caller's leading system and developer messages, and the tools.
        pins: the user's pins, whether they stand in front of the window or of the newest user turn.
        summary: what stands for rounds that left the window, with its fence.
        window: earlier rounds sent verbatim, the caller's own and those that memory put back.
        recall: recalled turns, with their fence.
        new: the newest round.
    """

    system: int = 0
    pins: int = 0
    summary: int = 0
    window: int = 0
    recall: int = 0
    new: int = 0

    @property
    def total(self) -> int:
        """Tokens of all sections together."""
        return self.system + self.pins + self.summary + self.window + self.recall + self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A turn that was quoted in a request.

    Attributes:
        id: the turn.
        speaker: who said it: the name its message carried, else its role.
        score: how well it fits the question, in standard deviations over the user's turns; higher is better.
        why: the kinds of evidence for it, strongest first; empty when it only fills what the budget left.
        tokens: how many tokens the quote takes.
        text: the quoted words; empty in a receipt that was read back from the store.
        trimmed: whether it is less than the whole turn.
        session: the session it was said in.
        date: the day it was said, as the request shows it.
    """

    id: str
    speaker: str
    score: float
    why: tuple[str, ...]
    tokens: int
    text: str = field(repr=False)
    trimmed: bool
    session: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A turn that was found.

    Attributes:
        turn: the turn, with all its words.
        score: how well it fits the query, in standard deviations over the user's turns; higher is better.
            Scores of one search compare with each other, not with those of another.
        why: the kinds of evidence for it, strongest first: `lexical`, `dense`, `neighbour`, `session`,
            `speaker`, `date`, …
    """

    turn: Turn
    score: float
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as a wrapped client would send it.

    Attributes:
        messages: the messages to send.
        receipt: the account of the request: its sections in tokens, and the turns it quotes.
    """

    messages: list[Message]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """The turns and pins that `Memory.forget` forgot, or would forget (`dry_run`).

    Attributes:
        user: whose memory; None for sessions without a user.
        session: the session, when only one was meant.
        turn_ids: ids of the turns.
        pins: how many pins.
        pending: how many copies of forgotten words a file or an open reader still held when `forget`
            returned; `Memory.verify_forgotten` looks again and takes them out.
        dry_run: True when nothing was changed.
    """

    user: str | None
    session: str | None
    turn_ids: tuple[str, ...]
    pins: int
    pending: int
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What calls cost at list prices, in US dollars.

    Attributes:
        cached: for tokens of the prompt that came from the provider's cache.
        uncached: for the other tokens of the prompt, and for writing them to the cache.
        output: for the reply, reasoning included.
    """

    cached: float = 0.0
    uncached: float = 0.0
    output: float = 0.0

    @property
    def total(self) -> float:
        """Dollars of prompt and reply together."""
        return self.cached + self.uncached + self.output

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            cached=self.cached + other.cached,
            uncached=self.uncached + other.uncached,
            output=self.output + other.output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What calls cost together, as far as that is known.

    Attributes:
        calls: how many were made.
        uncounted: how many of these have no token counts from their provider: refused, broken off, or
            streamed without usage.
        unpriced: how many of the counted calls have no price in the tables; `cost` leaves them out.
        prompt_tokens: tokens of all prompts, those read from the provider's cache included.
        cached_tokens: tokens of prompts that the provider read from its cache.
        output_tokens: tokens of all replies, reasoning included.
        by_model: the cost of the priced calls, by the model asked.
    """

    calls: int
    uncounted: int
    unpriced: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    by_model: Mapping[str, Cost]

    @property
    def cost(self) -> Cost:
        """The cost of all priced calls together."""
        return sum(self.by_model.values(), Cost())

    def __str__(self) -> str:
        cost = self.cost
        prompts = f"prompts {self.prompt_tokens}, of these cached {self.cached_tokens}"
        spent = f"prompts {cost.uncached:.6f}, cached {cost.cached:.6f}, replies {cost.output:.6f}"
        rows = [
            f"{self.calls} calls, tokens: {prompts}, replies {self.output_tokens}",
            f"  cost ${cost.total:.6f}: {spent}" if self.by_model else "  cost unknown",
            *(f"  {model or '–'}: ${of_model.total:.6f}" for model, of_model in self.by_model.items()),
        ]
        if self.unpriced:
            rows.append(f"  without a price: {self.unpriced} calls")
        if self.uncounted:
            rows.append(f"  without counted tokens: {self.uncounted} calls")
        return "\n".join(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The account of one call: what was journaled, what was sent, what came back.

    One that `Memory.receipts` read back has no words: `text` of what was recalled is empty, and so is
    `speaker` where a message carried a name.

    Attributes:
        call: the id of the call, as events name it.
        at: when the call was made, an aware datetime.
        user: the owner of the memory, or None.
        session: the session the call belongs to; None while that is not known.
        mode: what memory was asked to do.
        model: the model asked.
        host: the provider's host; None where no client was asked.
        journaled: every turn of this call that has happened so far is committed.
        complete: the call went out with the whole of its own conversation, as the policy would have it. False
            when the store could not be read in time, or the provider refused what memory had put back.
        state: what became of the call.
        turns: ids of the turns this call journaled: the caller's, then the reply.
        restored: earlier messages that memory put back in front of what the caller sent.
        dropped: messages of the caller that were left out because the model's window is full.
        tokens: tokens sent, by section: counted where the model's tokenizer is known and at hand, else
            estimated.
        recalled: the turns that were quoted, in the order in which they stand.
        cut: rounds left the window before this call, and a new epoch began.
        media_left: how many pictures, sounds and files of earlier rounds are sent as a one-line mark with
            their date instead. Where the number is greater than in the call before, some have just left,
            and `prefix_tokens` is smaller.
        prefix_tokens: of the tokens sent, those that begin this request as they began the session's
            previous one to the same model; None for the first.
        ms: milliseconds by step, one after the other: `journal` (align and journal), `compose` (window, cut
            and summary), `embed` (waiting for the question's vectors, which are made beside the journal
            step), `recall` (ranking and packing), `provider`, `reply` (committing the reply). A step that
            was not taken is not there.
        usage: the provider's own usage fields, None until it sent them.
        cost: what the call cost at list prices; None when the price or the usage is not known.
        notes: what a person should know about this call, in plain words.
    """

    call: str
    at: datetime
    user: str | None = None
    session: str | None = None
    mode: Mode = "on"
    model: str | None = None
    host: str | None = None
    journaled: bool = False
    complete: bool = True
    state: State = "pending"
    turns: tuple[str, ...] = ()
    restored: int = 0
    dropped: int = 0
    tokens: Tokens = Tokens()
    recalled: tuple[Recalled, ...] = ()
    cut: bool = False
    media_left: int = 0
    prefix_tokens: int | None = None
    ms: Mapping[str, float] = field(default_factory=dict[str, float])
    usage: Mapping[str, Any] | None = None
    cost: Cost | None = None
    notes: tuple[str, ...] = ()

    @property
    def cached_tokens(self) -> int | None:
        """Tokens of the prompt that the provider says came from its cache; None where it does not say."""
        return cached_tokens(self.usage)

    def with_(self, **changes: Any) -> Receipt:  # noqa: ANN401 (dataclasses.replace checks the names)
        """The same receipt with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        who = f"user {self.user}, " if self.user is not None else ""
        head = (
            f"{self.state}: {who}session {self.session or '–'}, mode {self.mode}, model {self.model or '–'}"
        )
        tokens = self.tokens
        rows = [
            head,
            f"  journaled {'yes' if self.journaled else 'NO'}"
            + (f", turns {' '.join(self.turns)}" if self.turns else "")
            + ("" if self.complete else "; sent WITHOUT the whole of its conversation"),
            f"  sent ~{tokens.total} tokens: system {tokens.system}, summary {tokens.summary},",
            f"    window {tokens.window}, recall {tokens.recall}, new {tokens.new}"
            + (f", pins {tokens.pins}" if tokens.pins else ""),
            f"  {self.restored} messages put back, {self.dropped} left out"
            + ("" if self.complete else "; its own conversation is NOT complete"),
            *(
                f"  recalled {r.id} {r.date} ({r.score:.1f}: {', '.join(r.why) or 'there was room'};"
                f" {r.tokens} tokens)"
                for r in self.recalled
            ),
        ]
        if self.ms:
            rows.append("  ms: " + ", ".join(f"{step} {ms:.1f}" for step, ms in self.ms.items()))
        if self.usage:
            numbers = [f"{name} {n}" for name, n in self.usage.items() if isinstance(n, int)]
            rows.append("  usage: " + ", ".join(numbers))
        if self.cached_tokens is not None:
            rows.append(f"  {self.cached_tokens} tokens of the prompt came from the provider's cache")
        if (cost := self.cost) is not None:
            rows.append(
                f"  cost ${cost.total:.6f}: prompt {cost.uncached:.6f}, cached {cost.cached:.6f},"
                f" reply {cost.output:.6f}"
            )
        rows.extend(f"  note: {note}" for note in self.notes)
        return "\n".join(rows)
