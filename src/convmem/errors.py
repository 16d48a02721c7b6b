"""Every error that convmem raises itself; a provider's errors pass through a wrapped client unchanged.

```
ConvmemError
├── InputError            an argument cannot be used (also a ValueError)
│   └── ScopeError        a user, session or mode is not valid
├── WrapError             the client cannot be wrapped as it is (also a TypeError)
├── MissingExtraError     an optional dependency is not installed (also an ImportError)
├── ClosedError           the Memory was closed
├── JournalError          a turn could not be journaled and the caller asked to be told
└── StoreError            the store cannot do what was asked
    ├── StoreFormatError      the file is not a convmem database
    ├── StoreNewerError       written by a newer convmem
    ├── StoreReadOnlyError    the file or its folder cannot be written
    ├── StoreCorruptError     the database is damaged
    └── StoreUnavailableError try again later: locked, disk full, I/O error
        └── StoreLockedError  another process holds the database
```
"""

from __future__ import annotations

import re
from typing import Self

__all__ = [
    "ClosedError",
    "ConvmemError",
    "InputError",
    "JournalError",
    "MissingExtraError",
    "Note",
    "ScopeError",
    "StoreCorruptError",
    "StoreError",
    "StoreFormatError",
    "StoreLockedError",
    "StoreNewerError",
    "StoreReadOnlyError",
    "StoreUnavailableError",
    "WrapError",
    "noted",
]


class ConvmemError(Exception):
    """The root of all of convmem's errors."""


class InputError(ConvmemError, ValueError):
    """An argument cannot be used, as the text says; nothing was changed."""


class ScopeError(InputError):
    """A user, session or mode is not valid, such as an empty user."""


class WrapError(ConvmemError, TypeError):
    """The client cannot be wrapped as it is; the text says what to do instead."""


class MissingExtraError(ConvmemError, ImportError):
    """An optional dependency is missing; the text names the extra to install."""


class ClosedError(ConvmemError):
    """The Memory was closed."""


class JournalError(ConvmemError):
    """A turn could not be journaled and `on_error="raise"` asked to be told.

    Attributes:
        response: the provider's reply when it had already arrived, so that it is not lost; else None.
    """

    def __init__(self, message: str, *, response: object = None) -> None:
        super().__init__(message)
        self.response = response


class StoreError(ConvmemError):
    """The store cannot do what was asked."""


class StoreFormatError(StoreError):
    """The file is not a convmem database; it was not touched."""


class StoreNewerError(StoreError):
    """The database was written by a newer convmem; it was not touched."""


class StoreReadOnlyError(StoreError):
    """The file or its folder cannot be written."""


class StoreCorruptError(StoreError):
    """The database is damaged; nothing was repaired or removed."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached or written just now; the same request may succeed later."""


class StoreLockedError(StoreUnavailableError):
    """Another process holds the database.

    Attributes:
        held: nothing was written since the try before: one process keeps the lock, instead of several taking
            turns.
    """

    held: bool = False


_OURS = (StoreError, JournalError, ClosedError)
"""Errors whose text is written by convmem and quotes no word of a conversation."""


_LATE = re.compile(r"not ready within \d+ ms")
"""The text of convmem's error for a step that took too long."""


class Note(str):
    """A note for a receipt, with the form in which the store keeps it.

    Attributes:
        kept: the note without the text of errors from other people's code, which may quote the conversation.
    """

    __slots__ = ("kept",)

    kept: str

    def __new__(cls, text: str, kept: str | None = None) -> Self:
        """Make a note; `kept` is the form to store, None when it is the text itself."""
        note = super().__new__(cls, text)
        note.kept = text if kept is None else kept
        return note


def noted(text: str, error: BaseException | None) -> Note:
    """Make a note that quotes an error; stored, it has only the type of an error that is not convmem's."""
    said, name = str(error), type(error).__name__
    if error is None or not said or isinstance(error, _OURS) or _LATE.fullmatch(said):
        return Note(text)
    return Note(text, text.replace(f"{name}: {said}", name).replace(said, name))
