"""Prepares texts for a model: cut, well-formed, without NUL, so that none of them stops its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from convmem.embed.protocol import Kind
from convmem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["prepared"]

_KINDS = get_args(Kind)


def prepared(texts: Sequence[str], kind: Kind, *, max_chars: int) -> list[str]:
    """The texts cut to `max_chars`, well-formed, without NUL; "" for one that is blank.

    Raises:
        InputError: `texts` is one string (each of its characters would be embedded) or `kind` is unknown.
    """
    if isinstance(texts, str):
        raise InputError(f"embed() takes a list of texts, not one: embed([text], {kind!r})")
    if kind not in _KINDS:
        raise InputError(f"kind is {' or '.join(map(repr, _KINDS))}, not {kind!r}")
    return [_clean(text[:max_chars]) for text in texts]


def _clean(text: str) -> str:
    text = text.replace("\0", " ")
    try:
        text.encode()
    except UnicodeEncodeError:
        # by way of UTF-16, so that the two halves of one character find each other
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "" if text.isspace() else text
