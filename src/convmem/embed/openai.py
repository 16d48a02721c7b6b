"""Embeddings from any endpoint that speaks OpenAI's `/embeddings`: sends texts out, and may cost money."""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from convmem.embed._rows import unit_rows
from convmem.embed._text import prepared
from convmem.embed.errors import EmbedderError
from convmem.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import openai
    from numpy.typing import NDArray

    from convmem.embed.protocol import Kind

__all__ = ["OpenAIEmbedder"]


class OpenAIEmbedder:
    """Vectors from a remote model. Every turn and every query is sent to that endpoint, at its price.

    Nothing is embedded but what `embed` is given, except one word when `dim` is read before it is known.
    Retries are the SDK's (`max_retries` of the client). A blank text is not sent: it has the zero vector.

    A client that was used before a fork shares its connections with the child, where replies can be mixed up.
    Given a base URL, this embedder opens a client of its own in each process; given a client, see to it
    yourself.

    Args:
        client: a synchronous `openai.OpenAI` (used as it is, never closed), or a base URL to make one for.
        model: the model's name, as the endpoint knows it.
        dim: the length to ask for, sent as `dimensions`: for models that can shorten. By default the model's
            own, learned from the first reply.
        api_key: for a base URL; by default OPENAI_API_KEY.
        query_prefix: put in front of every query, for models trained with one ("query: " for e5).
        passage_prefix: the same for passages.
        revision: raise it when the endpoint puts other weights behind the same name: part of the fingerprint.
        batch_size: most texts in one request. Some endpoints take no more than 10.
        batch_chars: most characters in one request.
        max_chars: what lies beyond is not sent. No text of 2,000 characters has more than 8,191 tokens.
        timeout: seconds for one request. By default the given client's own, or 30 for a base URL.

    Raises:
        MissingExtraError: a base URL is given and openai is not installed.
    """

    def __init__(
        self,
        client: openai.OpenAI | str,
        model: str,
        dim: int | None = None,
        *,
        api_key: str | None = None,
        query_prefix: str = "",
        passage_prefix: str = "",
        revision: str = "",
        batch_size: int = 64,
        batch_chars: int = 64_000,
        max_chars: int = 2000,
        timeout: float | None = None,
    ) -> None:
        self._timeout = timeout
        self._client: Callable[[], Any]
        if isinstance(client, str):
            self._timeout = timeout or 30.0
            self._client = _PerProcess(lambda: _open(client, api_key))
        else:
            given = _checked(client)
            self._client = lambda: given
        self._model = model
        self._asked_dim = dim
        self._dim = dim
        self._prefixes: dict[Kind, str] = {"query": query_prefix, "passage": passage_prefix}
        self._batch_size = batch_size
        self._batch_chars = batch_chars
        self._max_chars = max_chars
        settings = (model, revision, str(dim or ""), query_prefix, passage_prefix, str(max_chars))
        self._fingerprint = "openai/" + "/".join(settings)

    @property
    def dim(self) -> int:
        """How many numbers a vector has. Unless it was given or seen, one word is sent to find out."""
        if self._dim is None:
            self.embed(["dimension"], "passage")
        if self._dim is None:
            raise EmbedderError(f"{self._model} gave no vector to learn its dimension from")
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Model, revision, length, prefixes and `max_chars`; not the endpoint, which may be a proxy."""
        return self._fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One unit row per text, in order, in as few requests as the limits allow.

        Raises:
            EmbedderError: the endpoint failed, or its reply does not fit the request; the cause is chained.
        """
        ready = prepared(texts, kind, max_chars=self._max_chars)
        places = [place for place, text in enumerate(ready) if text]
        sent = [self._prefixes[kind] + ready[place] for place in places]
        found = [vector for batch in self._batches(sent) for vector in self._request(batch)]
        rows = np.zeros((len(ready), len(found[0]) if found else self.dim), dtype=np.float64)
        if found:
            rows[places] = found
        return unit_rows(rows, source=self._model)

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        chars = 0
        for text in texts:
            if batch and (len(batch) == self._batch_size or chars + len(text) > self._batch_chars):
                yield batch
                batch, chars = [], 0
            batch.append(text)
            chars += len(text)
        if batch:
            yield batch

    def _request(self, batch: list[str]) -> list[list[float]]:
        options: dict[str, Any] = {} if self._timeout is None else {"timeout": self._timeout}
        if self._asked_dim is not None:
            options["dimensions"] = self._asked_dim
        try:
            # the SDK would ask for base64, which not every endpoint knows
            reply = self._client().embeddings.create(
                input=batch, model=self._model, encoding_format="float", **options
            )
        except Exception as error:
            raise EmbedderError(f"{self._model} failed to embed {len(batch)} texts: {error}") from error
        return self._read(reply, len(batch))

    def _read(self, reply: Any, count: int) -> list[list[float]]:  # noqa: ANN401 - may be anything
        try:
            vectors = {item.index: [float(value) for value in item.embedding] for item in reply.data}
        except (AttributeError, TypeError, ValueError) as error:
            raise EmbedderError(f"{self._model} did not reply with embeddings") from error
        if sorted(vectors) != list(range(count)) or len(reply.data) != count:
            raise EmbedderError(
                f"{self._model} was sent {count} texts and gave vectors numbered {sorted(vectors)[:10]}"
            )
        rows = [vectors[place] for place in range(count)]
        expected = self._dim or len(rows[0])
        if not expected or any(len(row) != expected for row in rows):
            raise EmbedderError(
                f"{self._model} gave vectors of {len(rows[0])} numbers instead of {expected}"
                + (
                    f"; does it know `dimensions`? If not, leave dim={expected} out."
                    if self._asked_dim
                    else ""
                )
            )
        self._dim = expected
        return rows


class _PerProcess:
    """A client for each process, so that no two share a connection."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made = {os.getpid(): make()}

    def __call__(self) -> Any:  # noqa: ANN401
        if (mine := self._made.get(os.getpid())) is None:
            mine = self._made.setdefault(os.getpid(), self._make())
        return mine


def _open(base_url: str, api_key: str | None) -> Any:  # noqa: ANN401
    try:
        sdk = import_module("openai")
    except ImportError as error:
        raise MissingExtraError(
            "OpenAIEmbedder needs: pip install openai (the extra `openai` of convmem)"
        ) from error
    return sdk.OpenAI(base_url=base_url, api_key=api_key)


def _checked(client: object) -> object:
    create = getattr(getattr(client, "embeddings", None), "create", None)
    if create is None or inspect.iscoroutinefunction(create) or inspect.ismodule(client):
        raise InputError(
            "OpenAIEmbedder takes a synchronous openai.OpenAI client or a base URL,"
            f" not {type(client).__module__}.{type(client).__qualname__}"
        )
    return client
