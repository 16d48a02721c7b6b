"""Resolves `Memory(embedder=…)`: a name or an object becomes an embedder."""

from __future__ import annotations

import inspect
import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeGuard

from convmem.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.embed.protocol import Embedder

__all__ = ["ENTRY_POINT_GROUP", "resolve"]

ENTRY_POINT_GROUP = "convmem.embedders"
"""Entry points here are callables giving an embedder; "name:rest" calls the one called name with rest."""

_log = logging.getLogger("convmem")


def resolve(spec: str | Embedder | None) -> Embedder | None:
    """The embedder that `spec` names; None for lexical search only. Loads no model and opens no connection.

    Args:
        spec: one of
            - "auto": the `local` extra when it is installed, else None, with one line on the `convmem` log;
            - "local": the `local` extra, which must be there;
            - "none" or None;
            - "sentence-transformers:MODEL": a folder or a hub name already on this disk;
            - "NAME" or "NAME:REST": an entry point of the group `convmem.embedders`;
            - an embedder, given back as it is.

    Raises:
        MissingExtraError: the extra it needs is not installed; the text says which.
        InputError: the name is not known, or the object is no embedder; the text says what it lacks.
    """
    match spec:
        case None | "none":
            return None
        case "auto":
            return _auto()
        case "local":
            return _local()
        case str():
            return _named(spec)
        case _:
            return _checked(spec, source="embedder")


def _local() -> Embedder:
    from convmem.embed.local import local  # noqa: PLC0415 - numpy only when it is needed

    return local()


def _auto() -> Embedder | None:
    try:
        return _local()
    except MissingExtraError as error:
        _log.warning("No embedder, so recall finds words, not meaning. %s", error)
        return None


def _named(spec: str) -> Embedder:
    name, _, rest = spec.partition(":")
    if name == "sentence-transformers":
        if not rest:
            raise InputError('Name the model: "sentence-transformers:MODEL"')
        from convmem.embed.sentence_transformers import SentenceTransformersEmbedder  # noqa: PLC0415

        return SentenceTransformersEmbedder(rest)
    found = entry_points(group=ENTRY_POINT_GROUP)
    if name not in found.names:
        known = ["auto", "local", "none", "sentence-transformers:MODEL", *sorted(found.names)]
        raise InputError(
            f"No embedder is called {name!r:.60}. There are: {', '.join(known)}; or pass an object."
        )
    make = found[name].load()
    return _checked(make(rest) if rest else make(), source=f"entry point {name!r}")


def _checked(candidate: object, *, source: str) -> Embedder:
    if _is_embedder(candidate):
        return candidate
    if isinstance(candidate, type):
        raise InputError(f"{source} is the class {candidate.__qualname__}: pass an instance of it")
    raise InputError(
        f"{source} is {type(candidate).__qualname__}, which lacks {', '.join(_missing(candidate))}; give"
        ' "auto", "none", "local", "sentence-transformers:MODEL" or an object that has them'
    )


def _is_embedder(candidate: object) -> TypeGuard[Embedder]:
    return not isinstance(candidate, type) and not _missing(candidate)


def _missing(candidate: object) -> list[str]:
    """What the object lacks, without reading `dim` or `fingerprint`: that may load a model."""
    lacking = [f"`{name}`" for name in ("dim", "fingerprint") if not _has(candidate, name)]
    embed = getattr(candidate, "embed", None)
    if not callable(embed):
        lacking.append("`embed(texts, kind)`")
    elif inspect.iscoroutinefunction(embed):
        lacking.append("an `embed` that is not async")
    elif not _takes_two(embed):
        lacking.append("an `embed` that takes texts and kind")
    return lacking


def _takes_two(embed: Callable[..., object]) -> bool:
    try:
        inspect.signature(embed).bind([], "query")
    except TypeError:
        return False
    except ValueError:  # written in C, and without a signature
        return True
    return True


def _has(candidate: object, name: str) -> bool:
    nothing = object()
    return inspect.getattr_static(candidate, name, nothing) is not nothing or hasattr(candidate, name)
