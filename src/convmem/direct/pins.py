"""Keeps pins, which are texts that every call of a user is sent with."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

from convmem.abilities import OwnerRef, Pins
from convmem.errors import InputError, StoreError
from convmem.journal.changes import PinChange, UnpinChange

if TYPE_CHECKING:
    from convmem.abilities import Pin
    from convmem.call.shared import Shared

__all__ = ["pin", "pins", "unpin"]


def pin(shared: Shared, text: str, *, user: str) -> str:
    """Pin a text, and return the pin's id."""
    if not isinstance(shared.store, Pins):
        raise StoreError(f"{type(shared.store).__name__} keeps no pins")
    return shared.run(lambda: PinChange(OwnerRef(user), text, shared.clock()))


def unpin(shared: Shared, pin_id: str, *, user: str) -> None:
    """Delete a pin for good."""
    if not isinstance(shared.store, Pins):
        raise StoreError(f"{type(shared.store).__name__} keeps no pins")
    with shared.forgetting():
        gone = shared.run(lambda: UnpinChange(OwnerRef(user), pin_id))
    if not gone:
        named = reprlib.repr(pin_id)
        raise InputError(f"user {user!r} has no pin {named}; memory.pins(user=) lists the ids there are")


def pins(shared: Shared, *, user: str) -> list[Pin]:
    """List a user's pins, the oldest first; none in a store that keeps no pins."""
    return list(shared.store.pins(OwnerRef(user))) if isinstance(shared.store, Pins) else []
