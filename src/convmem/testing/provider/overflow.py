"""Requests that are longer than a model's context: how they are measured, and what each vendor says. Pure.

The wordings are those of reports from users and of the lists that adapters match; see docs/providers.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import is_array, is_integer, is_object
from convmem.testing.provider.wording import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convmem.testing.provider.dialect import Dialect, ErrorShape
    from convmem.testing.provider.shapes import JsonObject

__all__ = ["ceiling_tokens", "overflow", "request_tokens"]

# One piece is at least one token: a word with the space before it, a figure, a sign, a run of white space,
# letters of other alphabets, a character of any other script.
_PIECE = re.compile(
    r"(?P<word> ?[A-Z]?[a-z]+)|(?P<capitals> ?[A-Z]+)|(?P<blank>\s+)|(?P<letters> ?[\u00c0-\u08ff]+)"
    r"|(?P<han>[\u3040-\u9fff]+)|(?P<rare>[\U00010000-\U0010ffff])|.",
    re.DOTALL,
)
# How many characters of each are one token where tokens are short. Tables know nearly every English word of
# five letters, and few compounds.
_PER_TOKEN = {"word": 5, "capitals": 1.5, "blank": 16, "letters": 2, "han": 0.95}
_COMPOUND, _PER_COMPOUND_TOKEN = 12, 3.5
_RARE = 3  # emoji and rare Han: most of their four bytes
_PER_MESSAGE = 4
_PER_REQUEST = 3
_PER_PICTURE = 1_105
"""What OpenAI bills for a picture of 1,024 by 1,024; most others take less."""


def ceiling_tokens(text: str) -> int:
    """Tokens of a text, at least as many as the tokenizer of a model makes of ordinary texts.

    Unlike `usage.count_tokens`, which is meant to be computed by hand. Divided by what o200k_base counts:
    English 1.2 to 1.4, code 1.4, Chinese 1.4, figures 2.5, base64 1.0.
    """
    tokens = 0
    for match in _PIECE.finditer(text):
        kind = match.lastgroup
        if kind is None:
            tokens += 1
        elif kind == "rare":
            tokens += _RARE
        else:
            size = len(match[0].lstrip(" ")) if kind != "blank" else len(match[0])
            long = kind == "word" and size > _COMPOUND
            tokens += ceil(size / (_PER_COMPOUND_TOKEN if long else _PER_TOKEN[kind]))
    return tokens


def request_tokens(body: JsonObject) -> int:
    """Tokens of everything the model is sent with a chat or Responses request, counted high."""
    total = _PER_REQUEST
    if body.get("tools"):
        total += ceiling_tokens(_json(body["tools"]))
    if body.get("instructions"):
        total += _PER_MESSAGE + ceiling_tokens(str(body["instructions"]))
    for message in _messages(body):
        total += _PER_MESSAGE
        for key, value in message.items():
            if key not in {"role", "type", "id", "status"}:
                total += _value_tokens(value)
    return total


def _messages(body: JsonObject) -> list[dict[str, object]]:
    given = body.get("messages", body.get("input"))
    if isinstance(given, str):
        return [{"content": given}]
    return [each for each in given if is_object(each)] if is_array(given) else []


def _value_tokens(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return ceiling_tokens(value)
    if not is_array(value):
        return ceiling_tokens(_json(value))
    total = 0
    for part in value:
        kind = str(part.get("type")) if is_object(part) else ""
        if kind in {"image_url", "input_image", "file", "input_file", "input_audio"}:
            total += _PER_PICTURE
        elif is_object(part) and isinstance(part.get("text"), str):
            total += ceiling_tokens(str(part["text"]))
        else:
            total += ceiling_tokens(_json(part))
    return total


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


@dataclass(frozen=True, slots=True)
class _Length:
    """How long a request is: the facts that wordings name."""

    limit: int
    prompt: int
    output: int

    @property
    def total(self) -> int:
        return self.prompt + self.output

    @property
    def excess(self) -> int:
        return self.total - self.limit

    def said(self, template: str) -> str:
        return template.format(
            limit=self.limit, prompt=self.prompt, output=self.output, total=self.total, excess=self.excess
        )


_EXCEEDED = {"code": "context_length_exceeded", "param": "messages"}
_CLASSIC = Refusal(
    "This model's maximum context length is {limit} tokens. However, your messages resulted in {total} "
    "tokens. Please reduce the length of the messages.",
    error=_EXCEEDED,
)
_CONFIGURED = Refusal(
    "Input tokens exceed the configured limit of {limit} tokens. Your messages resulted in {prompt} tokens. "
    "Please reduce the length of the messages.",
    error=_EXCEEDED,
)
# No number at all.
_RESPONSES = Refusal(
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    error={"code": "context_length_exceeded", "param": "input"},
)
_VLLM = Refusal(
    "This model's maximum context length is {limit} tokens. However, your request has {prompt} input tokens. "
    "Please reduce the length of the input messages."
)
_WORDINGS: Mapping[ErrorShape, Refusal] = {
    "anthropic": Refusal("prompt is too long: {prompt} tokens > {limit} maximum"),
    "deepseek": Refusal(
        "This model's maximum context length is {limit} tokens. However, you requested {total} tokens "
        "({prompt} in the messages, {output} in the completion). Please reduce the length of the messages or "
        "completion."
    ),
    "doubao": Refusal("Input length {prompt} exceeds the maximum length {limit}."),
    "gemini": Refusal(
        "The input token count ({prompt}) exceeds the maximum number of tokens allowed ({limit})."
    ),
    "glm": Refusal("Prompt exceeds max length", error={"code": "1261"}),
    "groq": Refusal("Please reduce the length of the messages or completion.", error=_EXCEEDED),
    "kimi": Refusal("Invalid request: Your request exceeded model token limit: {limit} (requested: {total})"),
    "llama.cpp": Refusal(
        "the request exceeds the available context size. try increasing the context size or enable context "
        "shift",
        error={"type": "exceed_context_size_error"},
    ),
    "minimax": Refusal("invalid params, context window exceeds limit (2013)"),
    "mistral": Refusal(
        "Prompt contains {prompt} tokens and 0 draft tokens, too large for model with {limit} maximum "
        "context length",
        error={"code": "3051"},
    ),
    "nvidia": _VLLM,
    "ollama": Refusal("prompt too long; exceeded max context length by {excess} tokens"),
    "openrouter": Refusal(
        "This endpoint's maximum context length is {limit} tokens. However, you requested about {total} "
        "tokens ({prompt} of text input, {output} in the output). Please reduce the length of either one, or "
        'use the "middle-out" transform to compress your prompt automatically.'
    ),
    "qwen": Refusal(
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, {limit}]"
    ),
    "siliconflow": Refusal("length of prompt_tokens ({prompt}) must be less than max_seq_len ({limit})."),
    "together": Refusal(
        "The input ({prompt} tokens) is longer than the model's context length ({limit} tokens)."
    ),
    "vllm": _VLLM,
    "xai": Refusal("This model's maximum prompt length is {limit} but the request contains {prompt} tokens."),
}


def overflow(body: JsonObject, dialect: Dialect, limit: int, *, kept: int = 0) -> Refusal | None:
    """Say no to a request that is longer than the model's context, in the words of the vendor.

    Args:
        body: a chat or Responses request.
        dialect: of the provider.
        limit: the most tokens the model takes, input and wanted output together.
        kept: tokens of what the provider has kept of the conversation.

    Returns:
        None when the request fits.
    """
    responses = "messages" not in body and "input" in body
    wanted = next((body[name] for name in _OUTPUTS if is_integer(body.get(name))), 0)
    length = _Length(limit, request_tokens(body) + kept, wanted if is_integer(wanted) else 0)
    if length.total <= limit:
        return None
    if dialect.errors == "openai":
        newer = re.match(r"gpt-[5-9]", str(body.get("model", "")).lower().rpartition("/")[2])
        found = _RESPONSES if responses else _CONFIGURED if newer else _CLASSIC
    else:
        found = _WORDINGS[dialect.errors]
    error: dict[str, Any] = dict(found.error)
    if dialect.errors == "llama.cpp":
        error |= {"n_prompt_tokens": length.prompt, "n_ctx": limit}
    return Refusal(length.said(found.text), found.status, error)


_OUTPUTS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
