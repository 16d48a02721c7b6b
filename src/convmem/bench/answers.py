"""Does a model answer now? The same questions to it without memory and with it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from convmem.bench import scoring
from convmem.bench.rows import Answered
from convmem.context.render import speaks_chinese
from convmem.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.bench.datasets import Question
    from convmem.types import Message

__all__ = ["WITHOUT", "Model", "asking", "memory_at"]

WITHOUT = "without"

_SHORT = "Answer in as few words as possible. Do not explain."
_SHORT_CHINESE = "用尽量少的字回答，不要解释。"


def memory_at(budget: int) -> str:
    """What asking with memory is called."""
    return f"memory @{budget}"


def asking(question: Question, messages: Sequence[Message]) -> list[Message]:
    """Messages that ask for an answer that can be compared with the data's."""
    text = _SHORT_CHINESE if speaks_chinese(question.text) else _SHORT
    return [{"role": "system", "content": text}, *messages]


class Model:
    """A model behind a Chat Completions endpoint. Its key, where it wants one, is in `OPENAI_API_KEY`.

    Args:
        base_url: the endpoint, up to and with `/v1`.
        name: the model.

    Raises:
        MissingExtraError: openai is not installed.
    """

    def __init__(self, base_url: str, name: str) -> None:
        try:
            self._openai: Any = import_module("openai")
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "answers need an OpenAI client: pip install openai (the extra `openai` of convmem)"
            ) from error
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self._client: Any = self._openai.OpenAI(base_url=base_url, api_key=key)
        self._name = name

    def answers(self, question: Question, requests: Mapping[str, Sequence[Message]]) -> dict[str, Answered]:
        """The model's answers to a question whose answer is known, by what it was given."""
        return {given: self._answer(question, messages) for given, messages in requests.items()}

    def _answer(self, question: Question, messages: Sequence[Message]) -> Answered:
        try:
            reply = self._client.chat.completions.create(
                model=self._name, messages=asking(question, messages)
            )
        except self._openai.BadRequestError:  # more than the model takes
            return Answered("", 0.0, 0.0, None, refused=True)
        except self._openai.OpenAIError as error:
            raise InputError(f"{self._name} does not answer ({error}); run it again to go on here") from error
        text = reply.choices[0].message.content or ""
        used = reply.usage.prompt_tokens if reply.usage is not None else None
        gold = question.answer or ""
        return Answered(text, scoring.exact(text, gold), scoring.f1(text, gold), used)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
