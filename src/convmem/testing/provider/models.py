"""`GET /models`: the models the local provider says it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from convmem.testing.provider.answer import Answer, error_answer, json_answer
from convmem.testing.provider.endpoint import path_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.vendors import Rules

__all__ = ["ModelsEndpoint"]

_PATHS = path_pattern("/models(?:/(?P<model>.+))?")


class ModelsEndpoint:
    """The list of models, and each by its id. Chat and embeddings take any model, listed or not."""

    name = "models"
    method = "GET"

    def __init__(self, rules: Rules, models: Sequence[str]) -> None:
        self._rules = rules
        self._models = tuple(models)

    def matches(self, path: str) -> bool:
        """Say whether this is the path of the list or of one model."""
        return _PATHS.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Answer with the list, one model, or 404."""
        match = _PATHS.fullmatch(request.path)
        wanted = unquote(match["model"]) if match and match["model"] else None
        answer = self._listing() if wanted is None else self._one(wanted)
        return lambda: answer

    def _listing(self) -> Answer:
        return json_answer({"object": "list", "data": [_describe(model) for model in self._models]})

    def _one(self, model: str) -> Answer:
        if model in self._models:
            return json_answer(_describe(model))
        message = f"The model '{model}' does not exist"
        dialect = self._rules.of(model)
        error = {"param": "model", "code": "model_not_found"} if dialect.errors == "openai" else {}
        return error_answer(404, message, dialect.name, error=error)


def _describe(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "convmem"}
