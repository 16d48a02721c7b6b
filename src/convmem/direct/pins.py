"""Pins: texts that ride with every call of a user."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

from convmem.abilities import OwnerRef, Pins
from convmem.errors import InputError, StoreError

if TYPE_CHECKING:
    from convmem.abilities import Pin
    from convmem.engine import Engine

__all__ = ["pin", "pins", "unpin"]


def pin(engine: Engine, text: str, *, user: str) -> str:
    """Pin a text."""
    if not isinstance(engine.store, Pins):
        raise StoreError(f"{type(engine.store).__name__} keeps no pins")
    return engine.store.put_pin(OwnerRef(user), text, engine.clock()).id


def unpin(engine: Engine, pin_id: str, *, user: str) -> None:
    """Take a pin away."""
    if not isinstance(engine.store, Pins):
        raise StoreError(f"{type(engine.store).__name__} keeps no pins")
    with engine.forgetting():
        gone = engine.store.drop_pin(OwnerRef(user), pin_id)
    if not gone:
        named = reprlib.repr(pin_id)
        raise InputError(f"user {user!r} has no pin {named}; memory.pins(user=) lists the ids there are")


def pins(engine: Engine, *, user: str) -> list[Pin]:
    """A user's pins."""
    return list(engine.store.pins(OwnerRef(user))) if isinstance(engine.store, Pins) else []
