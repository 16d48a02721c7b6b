"""`AsyncMemory`: the direct API of a `Memory` for event loops; each method runs in a thread of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from convmem.call.scope import UNSET, Unset
from convmem.errors import InputError
from convmem.memory import Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from convmem.abilities import Pin
    from convmem.policy import Policy
    from convmem.protocols import Store
    from convmem.types import ForgetReport, Health, Hit, Ledger, Mode, Prepared, Receipt, Session, Stats, Turn

__all__ = ["AsyncMemory"]

ClientT = TypeVar("ClientT")


class AsyncMemory:
    """A `Memory` whose direct API is awaited.

    It takes the arguments of `Memory`, or shares a Memory that is open already (`AsyncMemory.of`). Opening
    the store is quick and blocks; `wrap`, `scope`, `last_receipt` and `receipt_for` never block and are not
    awaited.
    """

    def __init__(self, store: str | Path | Store, **options: Any) -> None:  # noqa: ANN401 (those of Memory, checked by it)
        self.memory = Memory(store, **options)

    @classmethod
    def of(cls, memory: Memory) -> AsyncMemory:
        """Make the awaitable API of a Memory that is open already.

        Raises:
            InputError: the argument is no Memory.
        """
        if not isinstance(cast("object", memory), Memory):
            raise InputError(f"memory is {type(memory).__name__}; give a convmem.Memory")
        self = cls.__new__(cls)
        self.memory = memory
        return self

    def wrap(
        self,
        client: ClientT,
        *,
        user: str | None = None,
        session: str | None = None,
        policy: str | Path | Policy | None = None,
        mode: Mode = "on",
    ) -> ClientT:
        """See `Memory.wrap`."""
        return self.memory.wrap(client, user=user, session=session, policy=policy, mode=mode)

    def scope(
        self,
        *,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        session: str | Literal[Unset.UNSET] | None = UNSET,
        mode: Mode | Literal[Unset.UNSET] = UNSET,
    ) -> AbstractContextManager[None]:
        """See `Memory.scope`."""
        return self.memory.scope(user=user, session=session, mode=mode)

    def last_receipt(self) -> Receipt | None:
        """See `Memory.last_receipt`."""
        return self.memory.last_receipt()

    def receipt_for(self, response: object) -> Receipt | None:
        """See `Memory.receipt_for`."""
        return self.memory.receipt_for(response)

    async def receipts(
        self,
        *,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        session: str | None = None,
        since: datetime | None = None,
        call: str | None = None,
        limit: int = 100,
    ) -> list[Receipt]:
        """See `Memory.receipts`."""
        return await asyncio.to_thread(
            self.memory.receipts, user=user, session=session, since=since, call=call, limit=limit
        )

    async def record(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        user: str | None = None,
        session: str | None = None,
        at: datetime | Sequence[datetime] | None = None,
        prepared: Prepared | None = None,
        append: bool = False,
    ) -> list[str]:
        """See `Memory.record`."""
        return await asyncio.to_thread(
            self.memory.record,
            messages,
            user=user,
            session=session,
            at=at,
            prepared=prepared,
            append=append,
        )

    async def prepare(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        user: str | None = None,
        session: str | None = None,
        model: str | None = None,
        policy: str | Path | Policy | None = None,
        budget: int | None = None,
    ) -> Prepared:
        """See `Memory.prepare`."""
        return await asyncio.to_thread(
            self.memory.prepare,
            messages,
            user=user,
            session=session,
            model=model,
            policy=policy,
            budget=budget,
        )

    async def recall(
        self,
        query: str,
        *,
        user: str | None = None,
        session: str | None = None,
        top_k: int = 10,
        budget: int | None = None,
    ) -> list[Hit]:
        """See `Memory.recall`."""
        return await asyncio.to_thread(
            self.memory.recall, query, user=user, session=session, top_k=top_k, budget=budget
        )

    async def pin(self, text: str, *, user: str) -> str:
        """See `Memory.pin`."""
        return await asyncio.to_thread(self.memory.pin, text, user=user)

    async def unpin(self, pin_id: str, *, user: str) -> None:
        """See `Memory.unpin`."""
        await asyncio.to_thread(self.memory.unpin, pin_id, user=user)

    async def pins(self, *, user: str) -> list[Pin]:
        """See `Memory.pins`."""
        return await asyncio.to_thread(self.memory.pins, user=user)

    async def forget(
        self,
        *,
        user: str | None,
        session: str | None = None,
        turn_ids: Sequence[str] | None = None,
        text: str | None = None,
        dry_run: bool = False,
    ) -> ForgetReport:
        """See `Memory.forget`."""
        return await asyncio.to_thread(
            self.memory.forget, user=user, session=session, turn_ids=turn_ids, text=text, dry_run=dry_run
        )

    async def verify_forgotten(self, report: ForgetReport) -> bool:
        """See `Memory.verify_forgotten`."""
        return await asyncio.to_thread(self.memory.verify_forgotten, report)

    async def reindex(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 (the same as Memory's)
        """See `Memory.reindex`."""
        return await asyncio.to_thread(self.memory.reindex, timeout)

    async def check(self, *, mend: bool = False, timeout: float | None = None) -> Health:  # noqa: ASYNC109 (the same as Memory's)
        """See `Memory.check`."""
        return await asyncio.to_thread(self.memory.check, mend=mend, timeout=timeout)

    async def sessions(self, *, user: str | Literal[Unset.UNSET] | None = UNSET) -> list[Session]:
        """See `Memory.sessions`."""
        return await asyncio.to_thread(self.memory.sessions, user=user)

    async def turns(
        self,
        *,
        session: str | None = None,
        user: str | Literal[Unset.UNSET] | None = UNSET,
        branches: bool = False,
    ) -> list[Turn]:
        """See `Memory.turns`."""
        return await asyncio.to_thread(self.memory.turns, session=session, user=user, branches=branches)

    async def export(
        self, *, user: str | Literal[Unset.UNSET] | None = UNSET, session: str | None = None
    ) -> AsyncIterator[str]:
        """See `Memory.export`."""
        lines = self.memory.export(user=user, session=session)
        end = object()
        while (line := await asyncio.to_thread(next, lines, end)) is not end:
            yield str(line)

    async def import_(self, lines: Iterable[str]) -> int:
        """See `Memory.import_`."""
        return await asyncio.to_thread(self.memory.import_, lines)

    async def ledger(
        self, *, user: str | Literal[Unset.UNSET] | None = UNSET, session: str | None = None
    ) -> Ledger:
        """See `Memory.ledger`."""
        return await asyncio.to_thread(self.memory.ledger, user=user, session=session)

    async def stats(self) -> Stats:
        """See `Memory.stats`."""
        return await asyncio.to_thread(self.memory.stats)

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (the same as Memory's)
        """See `Memory.flush`."""
        await asyncio.to_thread(self.memory.flush, timeout)

    async def close(self) -> None:
        """See `Memory.close`."""
        await asyncio.to_thread(self.memory.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
