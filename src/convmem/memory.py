"""`Memory`, the object that users make: it wraps clients and answers the direct API."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from convmem.abilities import OwnerRef, ReceiptsRequest
from convmem.arguments.checks import (
    checked_choice,
    checked_clock,
    checked_compressor,
    checked_count,
    checked_flag,
    checked_hooks,
    checked_ids,
    checked_milliseconds,
    checked_model,
    checked_pin,
    checked_seconds,
    checked_text,
    checked_time,
    checked_timeout,
)
from convmem.arguments.messages import checked_messages, checked_times, with_content
from convmem.arguments.zone import resolve_zone
from convmem.call.scope import UNSET, Unset, checked_user, enter, make_scope
from convmem.call.shared import utc_now
from convmem.compress.extractive import Extractive
from convmem.direct.check import check
from convmem.direct.export import conversation, lines, pages, take_in, with_waiting
from convmem.direct.forget import forget, residue
from convmem.direct.ledger import ledger, receipts
from convmem.direct.pins import pin, pins, unpin
from convmem.direct.prepare import prepare
from convmem.direct.search import search
from convmem.embed.resolve import resolve as resolve_embedder
from convmem.engine import Engine
from convmem.errors import InputError, JournalError
from convmem.journal.record import RecordJob
from convmem.policy import resolve_policy
from convmem.protocols import NodesRequest, SessionRef, SessionsRequest, Store, TurnsRequest
from convmem.providers.dialects import resolve_dialects
from convmem.providers.prices import resolve_prices
from convmem.stores.resolve import open_store
from convmem.types import ForgetReport, Prepared
from convmem.wrap.openai import wrap_client

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from convmem.abilities import Pin
    from convmem.call.shared import OnError
    from convmem.compress.protocol import Compressor
    from convmem.embed.protocol import Embedder
    from convmem.hooks import Hook
    from convmem.policy import Policy
    from convmem.types import Health, Hit, Ledger, Mode, Receipt, Session, Stats, Turn

__all__ = ["Memory"]

ClientT = TypeVar("ClientT")

_PAGE = 500


class Memory:
    """Long memory around chat clients: every turn kept, and sent back when it should be.

    One Memory serves any number of clients, threads and sessions; any number of processes may hold one on
    the same file.

    Args:
        store: a path (`~` is your home; the folder has to be there), `":memory:"`, a URL `sqlite:///path`, or
            an object that is a `Store`.
        on_error: `"pass_through"`: when a call cannot be journaled in time it goes out all the same, its
            receipt says so, and the turn is written when it can be. `"raise"`: it does not go out, and
            `JournalError` is raised.
        deadline_ms: how long a call may wait for what is recalled from other conversations, once its own
            conversation is there. Words are ranked at once, vectors count when they come in time; what is not
            ready by then is left out, and the receipt says so.
        store_timeout_s: how long a call may wait for the store: before the provider, to journal its turns and
            to read its own conversation, and again after it, for the reply. When the store has not answered
            by then, the call goes out with what can be read (`receipt.complete`), or raises with `on_error`
            `"raise"`; until the store answers again, the calls after it wait 0.3 s.
        durability: `"normal"` survives the death of the process, `"full"` also the loss of power.
        hooks: called with each `Event`.
        clock: the time as an aware datetime; for tests and simulations. It is asked once at the start.
        policy: what is sent: `"full"`, `"window"`, `"lean"`, `"balanced"`, `"thorough"`, a TOML file, or a
            `Policy`.
        embedder: `"auto"` (the `local` extra when it is installed, else words alone), `"none"`, `"local"`,
            `"sentence-transformers:MODEL"`, an entry point's name, or an `Embedder`.
        compressor: writes the summary of rounds that left the window; when left out, summaries are sentences
            picked from these rounds.
        dialects: a TOML file that says what your providers accept of messages put back by memory; its rows
            go before those of convmem, see docs/providers.md.
        prices: a TOML file with your prices; its rows go before those of convmem, see docs/costs.md.
        tz: the zone in which dates are meant and shown, by its IANA name such as `"Asia/Shanghai"` or as a
            `tzinfo`; when left out this machine's with all its rules, so that a summer night has its own
            date in winter too.

    Raises:
        StoreError: the store cannot be opened; it is left as it was.
        InputError: an argument has the wrong type or value; the text names it and says what to give.
    """

    def __init__(
        self,
        store: str | Path | Store,
        *,
        policy: str | Path | Policy = "balanced",
        embedder: str | Embedder | None = "auto",
        compressor: Compressor | None = None,
        on_error: OnError = "pass_through",
        deadline_ms: float = 1_000,
        store_timeout_s: float = 10,
        durability: Literal["normal", "full"] = "normal",
        dialects: str | Path | None = None,
        prices: str | Path | None = None,
        tz: str | tzinfo | None = None,
        hooks: Sequence[Hook] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        # Every argument is checked before the store is opened, so that a wrong one leaves no file behind.
        checked_choice("on_error", on_error, ("pass_through", "raise"))
        checked_choice("durability", durability, ("normal", "full"))
        deadline_ms = checked_milliseconds("deadline_ms", deadline_ms)
        store_timeout_s = checked_timeout("store_timeout_s", store_timeout_s)
        watching, told = checked_hooks(hooks), checked_clock(clock)
        zone = resolve_zone(tz)
        chosen = resolve_policy(policy)
        writer = checked_compressor(compressor) if compressor is not None else Extractive()
        spoken, priced = resolve_dialects(dialects), resolve_prices(prices)
        made = resolve_embedder(embedder)
        self._store = open_store(store, durability)
        self._engine = Engine(
            self._store,
            owns_store=self._store is not store,
            on_error=on_error,
            deadline_ms=deadline_ms,
            store_timeout_s=store_timeout_s,
            hooks=watching,
            clock=told,
            policy=chosen,
            embedder=made,
            compressor=writer,
            dialects=spoken,
            prices=priced,
            tz=zone,
        )
        self._engine.recaller.indexer.wake()  # what the last process left undone, and the model warm
        self._engine.owner = self

    # Around a client.

    def wrap(
        self,
        client: ClientT,
        *,
        user: str | None = None,
        session: str | None = None,
        policy: str | Path | Policy | None = None,
        mode: Mode = "on",
    ) -> ClientT:
        """A client of the same type, with memory. The one handed in is not touched.

        Args:
            client: an `openai.OpenAI` or `openai.AsyncOpenAI`, or one of a subclass such as `AzureOpenAI`.
            user: the owner of the memory. Without one, memory stays inside the session.
            session: the conversation. Without one, the session whose history a call
                continues, else a new one.
            policy: what is sent, instead of the Memory's policy.
            mode: what memory may do: `on`, `off`, `read` (journal nothing), `write` (add nothing).

        Returns:
            The twin: it shares the client's connections and settings. Wrapping a twin binds it anew.

        Raises:
            WrapError: `client` is no OpenAI client, or another tool has replaced methods of it.
            ScopeError: `user` or `session` is empty, too long or no string, or `mode` is unknown.
        """
        scope = make_scope(
            user=user if user is not None else UNSET,
            session=session if session is not None else UNSET,
            mode=mode,
        )
        self._engine.expect(user)
        return wrap_client(
            client, self._engine, scope, resolve_policy(policy) if policy is not None else None
        )

    @contextmanager
    def scope(
        self,
        *,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        session: str | Literal[Unset.UNSET] | None = UNSET,
        mode: Mode | Literal[Unset.UNSET] = UNSET,
    ) -> Generator[None]:
        """Within this block, calls of this context use this user, session or mode.

        More specific than the arguments of `wrap`, less than the headers of a call. What is not given
        stays as it was; None takes a user or session away.

        A scope holds in its block, and goes with tasks and `asyncio.to_thread`. Work for an executor or a
        thread takes it along by `pool.submit(contextvars.copy_context().run, work)`, or is handed a client
        that is bound by `wrap(client, user=…)`. The receipt of a call that lacks what scopes name elsewhere
        says so.

        Raises:
            ScopeError: `user` or `session` is empty, too long or no string, or `mode` is unknown.
        """
        if isinstance(user, str):
            self._engine.expect(user)
        with enter(self._engine, make_scope(user=user, session=session, mode=mode)):
            yield

    def last_receipt(self) -> Receipt | None:
        """The receipt of the last call made in this thread or task; None when it made none.

        Each task has its own context: after `asyncio.gather` or `wait_for`, or where a framework made the
        call in a task or thread of its own, ask `receipt_for(response)`, or `receipts(...)`, which reads the
        store.
        """
        exchange = self._engine.receipts.last()
        return exchange.receipt if exchange is not None else None

    def receipt_for(self, response: object) -> Receipt | None:
        """The receipt of the call that returned this response or stream; None when it was none of ours."""
        exchange = self._engine.receipts.get(response)
        return exchange.receipt if exchange is not None else None

    def receipts(
        self,
        *,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        session: str | None = None,
        since: datetime | None = None,
        call: str | None = None,
        limit: int = 100,
    ) -> list[Receipt]:
        """The receipts that the store keeps, the newest call first, whatever process made the calls.

        A receipt is kept with the reply: a call that is under way has none here yet, and one that died with
        its process never. What is kept has no words: of turns that were quoted it has ids, scores, reasons
        and tokens. It is forgotten with the turns of its call. Calls with the mode `read` or `off` leave
        nothing in the store, and calls made before the store kept receipts have none.

        Args:
            user: only of this user's calls (None: of sessions without a user); of all users when left out.
            session: only this session's; needs `user` as well, which may be None.
            since: only of calls made at this time or later, an aware datetime.
            call: only of the call with this id, as events name it.
            limit: the most receipts.

        Raises:
            InputError: `session` without `user`, or `since` without a time zone.
            StoreError: the store keeps no receipts, or cannot be read.
        """
        make_scope(user=user, session=session)
        if session is not None and user is UNSET:
            raise InputError(
                "a session's name is unique per user only; give user= (None for none) with session="
            )
        request = ReceiptsRequest(
            owner=True if user is UNSET else user,
            session=session,
            since=checked_time("since", since) if since is not None else None,
            call=checked_text("call", call, "give the id of a call") if call is not None else None,
            limit=checked_count("limit", limit, least=1, of="receipts"),
        )
        return receipts(self._engine, request)

    # Without a wrapper.

    def record(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        user: str | None = None,
        session: str | None = None,
        at: datetime | Sequence[datetime] | None = None,
        prepared: Prepared | None = None,
        append: bool = False,
    ) -> list[str]:
        """Journal messages that were exchanged without a wrapped client; the way to import a past.

        What the session knows already is not doubled: a list that begins as the session does, or that
        continues its end, adds only what is new; the same list again is a repeat. A list that knows
        nothing of the session continues it.

        Args:
            messages: chat messages, oldest first: mappings or SDK objects; speakers in `name`.
            user: the owner of the memory.
            session: the conversation; without one, a new one.
            at: when they were said: one aware datetime, or one per message. Now, when left out.
            prepared: what `prepare` gave for them: its user and session are meant.
            append: they were said now, whatever was said before: append all of them.

        Returns:
            One turn id per message; leading system messages are settings and have none.

        Raises:
            InputError: a message or time is malformed; the text names its place, and nothing is recorded.
            StoreError: the store cannot take them; nothing is recorded.
        """
        checked_flag("append", append)
        checked = with_content(checked_messages(messages))
        if prepared is not None:
            if not isinstance(cast("object", prepared), Prepared):
                raise InputError(f"prepared is what prepare() gave, not {type(prepared).__name__}")
            user, session = prepared.receipt.user, prepared.receipt.session
        scope = make_scope(user=user, session=session)
        times = checked_times(at, len(checked), self._engine.clock())
        name = f"session-{uuid.uuid4().hex[:12]}" if scope.session in {None, UNSET} else str(scope.session)
        ref = SessionRef(user, name)
        call_id = uuid.uuid4().hex
        ids = self._engine.run(
            lambda: RecordJob(self._store, ref, checked, times, call_id=call_id, append=append)
        )
        self._engine.recaller.took_in([OwnerRef.of(ref)])
        return list(ids)

    def prepare(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        user: str | None = None,
        session: str | None = None,
        model: str | None = None,
        policy: str | Path | Policy | None = None,
        budget: int | None = None,
    ) -> Prepared:
        """Build what a wrapped call with these messages would send, and journal nothing.

        For other SDKs: send `prepared.messages`, then `record([*messages, reply], prepared=prepared)`.

        Args:
            messages: chat messages as the app would send them.
            user: the owner of the memory.
            session: the conversation.
            model: the model they go to; its context length and its tokenizer are used.
            policy: what is sent, instead of the Memory's policy.
            budget: the most tokens that quoted turns may take, instead of the policy's number.

        Raises:
            InputError: a message is malformed; the text names its place.
            StoreError: the store cannot be read.
        """
        make_scope(user=user, session=session)
        if budget is not None:
            checked_count("budget", budget, least=0, of="tokens")
        chosen = resolve_policy(policy) if policy is not None else None
        return prepare(
            self._engine,
            with_content(checked_messages(messages)),
            user=user,
            session=session,
            model=checked_model(model),
            policy=chosen,
            budget=budget,
        )

    def recall(
        self,
        query: str,
        *,
        user: str | None = None,
        session: str | None = None,
        top_k: int = 10,
        budget: int | None = None,
    ) -> list[Hit]:
        """Search a user's memory.

        Args:
            query: what to look for, in any words.
            user: whose memory; without one, `session` names a session without a user.
            session: only this session.
            top_k: the most hits.
            budget: the most tokens their texts may have together.

        Returns:
            The best turns, best first.

        Raises:
            InputError: neither `user` nor `session` is given, `query` is empty, or `top_k` is below 1.
            StoreError: the store cannot be read.
        """
        make_scope(user=user, session=session)
        checked_text("query", query, "say what to look for")
        checked_count("top_k", top_k, least=1, of="turns")
        if budget is not None:
            checked_count("budget", budget, least=0, of="tokens")
        return search(self._engine, query, user=user, session=session, top_k=top_k, budget=budget)

    def pin(self, text: str, *, user: str) -> str:
        """Keep a text always in this user's context; returns the pin's id. The same text is the same pin.

        Pins go with every request, the newest first, as many as fit the policy's tokens for recall.

        Raises:
            InputError: an empty text, or one of more than 2,000 bytes.
            StoreError: the store keeps no pins.
        """
        checked_user(user)
        checked_pin(text)
        return pin(self._engine, text, user=user)

    def unpin(self, pin_id: str, *, user: str) -> None:
        """Take a pin away for good: from the next request on it is not sent, and it is gone from the file.

        Args:
            pin_id: what `pin` returned, and `pins` lists.
            user: the user whose pin it is.

        Raises:
            InputError: the user has no such pin.
            StoreError: the store keeps no pins.
        """
        checked_user(user)
        checked_text("pin_id", pin_id, "give the id that pin() returned; pins() lists them")
        unpin(self._engine, pin_id, user=user)

    def pins(self, *, user: str) -> list[Pin]:
        """This user's pins, the oldest first; `unpin` takes one away, `forget(text=)` all with a text."""
        checked_user(user)
        return pins(self._engine, user=user)

    def forget(
        self,
        *,
        user: str | None,
        session: str | None = None,
        turn_ids: Sequence[str] | None = None,
        text: str | None = None,
        dry_run: bool = False,
    ) -> ForgetReport:
        """Forget for good: turns, and everything derived from them.

        What was forgotten is not journaled again when an app re-sends its old history; the same words said
        anew are. Without `turn_ids` and `text`, everything of the user or session, pins of the user too.

        Args:
            user: whose memory; None for a session without a user.
            session: only this session.
            turn_ids: only these turns.
            text: only turns and pins that hold this text, upper and lower case and widths alike; replies
                included.
            dry_run: only say what would be forgotten.

        Raises:
            InputError: neither `user` nor `session` is given, `text` is empty, or an id is no turn's.
            StoreError: the store cannot forget; nothing was changed.
        """
        make_scope(user=user, session=session)
        checked_flag("dry_run", dry_run)
        ids = checked_ids(turn_ids) if turn_ids is not None else None
        if text is not None:
            checked_text("text", text, "it would be found in every turn")
        return forget(self._engine, user=user, session=session, turn_ids=ids, text=text, dry_run=dry_run)

    def verify_forgotten(self, report: ForgetReport) -> bool:
        """Look whether anything is left of the turns that a report names, and take out what is.

        Returns:
            True when nothing is left, in the file and its log.
        """
        if not isinstance(cast("object", report), ForgetReport):
            raise InputError(f"report is what forget() gave, not {type(report).__name__}")
        return residue(self._engine, report) == 0

    def reindex(self, timeout: float | None = None) -> bool:
        """Make the index entries and vectors that are missing, and wait until all are there.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Returns:
            False when some were still missing after `timeout` seconds; they go on being made.
        """
        return self._engine.recaller.indexer.wait(checked_seconds("timeout", timeout), vectors=True)

    def check(self, *, mend: bool = False, timeout: float | None = None) -> Health:
        """Read the whole journal and everything derived from it, and tell what is damaged or missing.

        Args:
            mend: make damaged or missing index entries and vectors anew, and tell what is still wrong after.
                The journal itself is not touched; for a damaged file there is `convmem.repair`.
            timeout: seconds that mending may take.

        Raises:
            StoreError: the store cannot be read. Damage is reported in the result, not raised.
        """
        checked_flag("mend", mend)
        return check(self._engine, mend=mend, timeout=checked_seconds("timeout", timeout))

    def sessions(self, *, user: str | Literal[Unset.UNSET] | None = UNSET) -> list[Session]:
        """The sessions, the oldest first: of one user (None: those without a user), or all of the store's."""
        make_scope(user=user)
        return list(self._store.sessions(SessionsRequest(owner=True if user is UNSET else user)))

    def turns(
        self,
        *,
        session: str | None = None,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        branches: bool = False,
    ) -> list[Turn]:
        """Read back turns, in the journal's order.

        Args:
            session: of this conversation; without one, of all of the user's.
            user: the owner of the memory; None, or only a session: those without one.
            branches: also what was edited away or answered otherwise, and what was refused before something
                else was answered; else the conversation as it stands. Messages at its end that were refused
                or are not answered yet are part of it: `turn.state` tells them.

        Raises:
            InputError: neither `user` nor `session` is given; `export` gives everybody's turns.
        """
        make_scope(user=user, session=session)
        checked_flag("branches", branches)
        if user is UNSET:
            if session is None:
                raise InputError(
                    "say whose turns: user= (None for sessions without a user), session=, or both;"
                    " export() gives everybody's"
                )
            user = None
        if session is None:
            names = [row.name for row in self.sessions(user=user)]
            found = [
                turn for name in names for turn in self.turns(session=name, user=user, branches=branches)
            ]
            return sorted(found, key=lambda turn: turn.seq)
        ref = SessionRef(user, session)
        turns = list(pages(self._store, TurnsRequest(ref=ref, limit=_PAGE)))
        if branches or not turns:
            return turns
        return conversation(turns, self._store.nodes(NodesRequest(ref)).nodes)

    def export(
        self, *, user: str | Literal[Unset.UNSET] | None = UNSET, session: str | None = None
    ) -> Iterator[str]:
        """The journal as JSON Lines, one string per line: every turn of every branch, verbatim.

        Args:
            user: only this user's (None: those of sessions without a user); everybody's when left out.
            session: only this session's; needs `user` as well, which may be None.

        Raises:
            InputError: `session` without `user`.
        """
        make_scope(user=user, session=session)
        if session is not None and user is UNSET:
            raise InputError(
                "a session's name is unique per user only; give user= (None for none) with session="
            )
        yield from lines(self._store, user, session)

    def import_(self, lines: Iterable[str]) -> int:
        """Journal the lines that `export` gave, of this store or another; returns how many turns were read.

        Turns that are there already are not doubled.

        Raises:
            InputError: a line is not from an export; the text names it. Sessions before it stay imported.
        """
        return take_in(self._engine, lines)

    def ledger(
        self, *, user: str | Literal[Unset.UNSET] | None = UNSET, session: str | None = None
    ) -> Ledger:
        """Add up what calls cost, by the tokens their providers counted and the prices at their time.

        Calls of sessions that were forgotten are not in it.

        Args:
            user: only this user's (None: those of sessions without a user); everybody's when left out.
            session: only this session's; needs `user` as well, which may be None.

        Raises:
            InputError: `session` without `user`.
            StoreError: the store does not tell its calls.
        """
        if session is not None and user is UNSET:
            raise InputError(
                "a session's name is unique per user only; give user= (None for none) with session="
            )
        return ledger(self._engine, user=user, session=session)

    def stats(self) -> Stats:
        """Count what the store holds, and the writes that wait to be committed."""
        return with_waiting(self._store.stats(), self._engine.journal.waiting)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything journaled so far, what was spilled too, is committed and has its views.

        Raises:
            JournalError: it cannot be written now (it is kept and tried again), or `timeout` seconds passed.
        """
        timeout = checked_seconds("timeout", timeout)
        until = None if timeout is None else time.monotonic() + timeout
        self._engine.journal.flush(timeout)
        left = None if until is None else max(0.0, until - time.monotonic())
        if not self._engine.recaller.indexer.wait(left, vectors=True):
            raise JournalError("everything is journaled, but not all views are made; they are tried again")

    def close(self) -> None:
        """Journal what open streams brought so far, write what is queued, and let go of the store.

        A store object that was handed in stays open: it is its owner's. Twice is fine. Clients that were
        wrapped go on working, without memory. A Memory that nobody holds any more, nor a client of its, is
        closed some time later. Turns written just before can be found by their words when it is opened again;
        other views that are not made yet are made by the next open.
        """
        self._engine.close(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
