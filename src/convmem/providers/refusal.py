"""What a provider said when it refused a request: that it is too long, or which message and field it means.

Every vendor has words of its own; `refusals.toml` has the patterns, with who says so and where it was seen.
Pure: a status and a body in, a `Refusal` out.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Refusal", "read_refusal"]

_ABOUT_REQUESTS: Final = frozenset({400, 413, 422})
_FORBIDDEN: Final = 403  # Together's status for a prompt that is too long
_FAILED: Final = 500
_NUMBER: Final = r"(\d[\d,_]{0,15})"
_LEAST, _MOST = 256, 100_000_000
"""Tokens that can be a model's context; other numbers in an error are something else."""

_LONGEST = 8_000
"""Characters of an error that are read: some bodies repeat the whole request behind what they say."""
_DEEPEST = 8
_REPEATED: Final = frozenset({"input", "ctx", "request", "body", "failed_generation", "url"})
"""Fields in which validators repeat what they were given: words of the conversation, not of the provider."""
_REPEATED_TEXT = re.compile(r"""(['"])input\1: ?(?:(['"]).*?(?<!\\)\2|[^'"]*?)(?=[,}\])])""", re.DOTALL)

# Fields of messages and requests as errors name them: some are words of any sentence, and count only where
# they are quoted or stand in a place such as messages[3].name.
_PLAIN_NAMES: Final = frozenset({
    "arguments", "audio", "content", "developer", "id", "name", "partial", "phase", "prefix", "reasoning",
    "refusal", "role", "status", "temperature", "thinking", "tools", "type",
})  # fmt: skip
_UNMISTAKABLE: Final = re.compile(
    r"\b(annotations|cache_control|extra_content|function_call|image_url|input_audio|max_completion_tokens"
    r"|max_tokens|reasoning_content|reasoning_details|response_format|stream_options|thinking_blocks"
    r"|tool_call_id|tool_calls|tool_choice|parallel_tool_calls)\b"
)
_QUOTED = re.compile(r"""[`'"]([a-z_]+)[`'"]""")
_PLACE = re.compile(r"\b(?:messages|input)(?:\.?\[\d+\]|\.\d+)((?:\.[a-z_]+|\[\d+\]|\.\d+)+)", re.IGNORECASE)
_STEP = re.compile(r"[a-z_]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that was refused for what is in it.

    Attributes:
        overflow: it is longer than the model's context, by the provider's count.
        limit: the context in tokens, input and output together, where the text names it.
        message: which message is meant, counted from 0 over `messages` (or `input`) as the provider got
            them, its system messages among them. Anthropic behind a gateway counts without these; a number
            that cannot be a place in the request is to be passed over.
        fields: the fields of messages or of the request that are named.
    """

    overflow: bool = False
    limit: int | None = None
    message: int | None = None
    fields: frozenset[str] = frozenset()


def read_refusal(status: int, body: object) -> Refusal | None:
    """What a provider refused.

    Args:
        status: the HTTP status.
        body: of the error, parsed or as text; or what an SDK unwrapped of it (`error.body`).

    Returns:
        None when the error is about something else than the request: money, rights, rates, a server in
        trouble. A server in trouble (5xx) counts when it says that the prompt is too long, or that its chat
        template refuses the messages.
    """
    lines = list(_lines(body))
    if _is(lines, "elsewhere"):
        return None
    found, limit = _overflow(lines)
    if not _concerns(status, lines, overflow=found):
        return None
    return Refusal(overflow=found, limit=limit, message=_message(lines), fields=frozenset(_fields(lines)))


def _concerns(status: int, lines: list[str], *, overflow: bool) -> bool:
    """Whether a status is about the request that was sent."""
    if status in _ABOUT_REQUESTS:
        return True
    if status >= _FAILED:
        return overflow or _is(lines, "template")
    return overflow and status == _FORBIDDEN


class _Row(NamedTuple):
    """One pattern.

    Attributes:
        pattern: as it is searched for.
        row: what else the table says of it.
    """

    pattern: re.Pattern[str]
    row: Mapping[str, Any]


@cache
def _table() -> Mapping[str, tuple[_Row, ...]]:
    text = resources.files("convmem.providers").joinpath("refusals.toml").read_text(encoding="utf-8")
    return {
        kind: tuple(
            _Row(re.compile(row["pattern"].replace("{N}", _NUMBER), re.IGNORECASE), row) for row in rows
        )
        for kind, rows in tomllib.loads(text).items()
    }


def _search(lines: list[str], kind: str) -> Iterator[tuple[_Row, re.Match[str]]]:
    """What fits, row by row: the first rows are the surest."""
    for row in _table()[kind]:
        for line in lines:
            if (match := row.pattern.search(line)) is not None:
                yield row, match


def _is(lines: list[str], kind: str) -> bool:
    return next(_search(lines, kind), None) is not None


def _overflow(lines: list[str]) -> tuple[bool, int | None]:
    """Whether the text says that the prompt is too long, and the limit it names."""
    if _is(lines, "other"):
        return False, None
    found = False
    for row, match in _search(lines, "overflow"):
        found = True
        if row.row.get("of") is None and match.groups():
            limit = int(match[match.re.groups].replace(",", "").replace("_", ""))
            if _LEAST <= limit <= _MOST:
                return True, limit
    return found, None


def _message(lines: list[str]) -> int | None:
    found = next(_search(lines, "message"), None)
    return int(found[1][1]) - int(found[0].row.get("from", 0)) if found is not None else None


def _fields(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield from _UNMISTAKABLE.findall(line)
        yield from (name for name in _QUOTED.findall(line) if name in _PLAIN_NAMES)
        for place in _PLACE.findall(line):
            yield from (step for step in _STEP.findall(place) if step in _PLAIN_NAMES)
    yield from (str(row.row["field"]) for row, _ in _search(lines, "field"))


# Reading a body.


def _lines(body: object, key: str = "", depth: int = 0) -> Iterator[str]:
    """The texts of a body, and its numbers with their names, wherever they stand in it."""
    if depth > _DEEPEST:
        return
    if isinstance(body, str | bytes):
        yield from _of_text(body if isinstance(body, str) else body.decode("utf-8", "replace"), depth)
    elif isinstance(body, dict):
        for name, value in cast("Mapping[str, object]", body).items():
            yield from () if name in _REPEATED else _lines(value, name, depth + 1)
    elif isinstance(body, list | tuple):
        items = cast("list[object]", body)
        if key == "loc":  # a validator's place: ["body", "messages", 3, "name"]
            yield ".".join(map(str, items))
        for item in items:
            yield from _lines(item, key, depth + 1)
    elif isinstance(body, int) and abs(body) <= _MOST:
        yield f'"{key}": {int(body)}'


def _of_text(text: str, depth: int) -> Iterator[str]:
    """A text, or what it holds when it is JSON: gateways quote the error of the provider behind them."""
    said = text.strip()
    if said[:1] in {"{", "["}:
        try:
            yield from _lines(json.loads(said), depth=depth + 1)
        except (ValueError, RecursionError):
            pass
        else:
            return
    if said:
        yield _REPEATED_TEXT.sub("", said[:_LONGEST])
