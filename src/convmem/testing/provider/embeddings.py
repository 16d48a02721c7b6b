"""`POST /embeddings`: a vector for every input, the same on every run."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.answer import Answer, faulty_json, json_answer
from convmem.testing.provider.endpoint import body_refusal, deployment_of, illegal, path_pattern
from convmem.testing.provider.fault import Fault
from convmem.testing.provider.problem import Problem
from convmem.testing.provider.reply import EmbeddingReply
from convmem.testing.provider.shapes import JsonObject, encode, is_array, is_integer
from convmem.testing.provider.usage import count_tokens
from convmem.testing.provider.vectors import as_base64, unit_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convmem.testing.provider.dialect import Dialect
    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.vendors import Rules

__all__ = ["EmbeddingsEndpoint", "embedding_problems"]

_PATHS = path_pattern("/embeddings")
_FIELDS = frozenset({"dimensions", "encoding_format", "input", "model", "user"})
_LARGEST_BATCH = 2048


class EmbeddingsEndpoint:
    """The embeddings endpoint.

    Attributes:
        scripted: what the next requests get, in order; derived vectors when it is empty.
    """

    name = "embeddings"
    method = "POST"

    def __init__(self, rules: Rules, *, strict: bool, dim: int, seed: int) -> None:
        self.scripted: deque[EmbeddingReply | Fault] = deque()
        self._rules = rules
        self._strict = strict
        self._dim = dim
        self._seed = seed

    def matches(self, path: str) -> bool:
        """Say whether this is a path of embeddings."""
        return _PATHS.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Check the request and take the next outcome from the script."""
        body: JsonObject = request.fields
        deployment = deployment_of(request.path)
        if deployment is not None:
            body = {"model": deployment, **body}
        dialect = self._rules.of(body.get("model"))
        refusal = body_refusal(request, dialect.name)
        if refusal is None and self._strict and (found := embedding_problems(body)):
            refusal = illegal(found, dialect)
        if refusal is not None:
            return lambda: refusal
        outcome = self.scripted.popleft() if self.scripted else EmbeddingReply()
        return partial(self._answer, body, outcome, dialect)

    def _answer(self, body: JsonObject, outcome: EmbeddingReply | Fault, dialect: Dialect) -> Answer:
        reply = EmbeddingReply() if isinstance(outcome, Fault) else outcome
        whole = json_answer(self._embed(body, reply), headers=reply.headers, delay_s=reply.delay_s)
        return faulty_json(outcome, whole, dialect.name) if isinstance(outcome, Fault) else whole

    def _embed(self, body: JsonObject, reply: EmbeddingReply) -> dict[str, Any]:
        texts = _texts(body.get("input"))
        wanted = body.get("dimensions")
        dim = wanted if is_integer(wanted) and wanted > 0 else self._dim
        if reply.vectors is None:
            vectors = [unit_vector(text, dim, self._seed) for text in texts]
        else:
            vectors = [list(vector) for vector in reply.vectors]
        packed = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": as_base64(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(count_tokens(text) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": str(body.get("model", "")), "usage": usage}


def embedding_problems(body: JsonObject) -> list[Problem]:
    """Find everything that is wrong with the body of an embeddings request."""
    found = [Problem(name, "unrecognized request argument") for name in body if name not in _FIELDS]
    if not isinstance(body.get("model"), str) or not body["model"]:
        found.append(Problem("model", "you must provide a model parameter, a non-empty string"))
    if "encoding_format" in body and body["encoding_format"] not in {"base64", "float"}:
        found.append(Problem("encoding_format", "expected base64 or float"))
    dimensions = body.get("dimensions", 1)
    if not is_integer(dimensions) or dimensions < 1:
        found.append(Problem("dimensions", "expected an integer of at least 1"))
    return [*found, *_input_problems(body.get("input"))]


def _input_problems(value: object) -> Iterator[Problem]:
    if isinstance(value, str):
        if not value:
            yield Problem("input", "must not be empty")
        return
    if not is_array(value) or not value:
        yield Problem("input", "expected a string, or a non-empty array of strings or token ids")
        return
    if all(is_integer(item) for item in value):
        return
    if len(value) > _LARGEST_BATCH:
        yield Problem("input", f"at most {_LARGEST_BATCH} inputs are taken at once, got {len(value)}")
    for index, item in enumerate(value):
        tokens = is_array(item) and item and all(is_integer(token) for token in item)
        if not tokens and not (isinstance(item, str) and item):
            yield Problem(f"input[{index}]", "expected a non-empty string or array of token ids")


def _texts(value: object) -> list[str]:
    """One text per input; token ids stand for themselves, written as JSON."""
    if not is_array(value):
        return [str(value)]
    if value and all(is_integer(item) for item in value):
        return [encode(value).decode()]
    return [item if isinstance(item, str) else encode(item).decode() for item in value]
