"""Which values the parameters of a chat request may take; everything but the messages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.testing.provider.order_legality import thinking_is_off
from convmem.testing.provider.problem import Problem
from convmem.testing.provider.shapes import is_array, is_integer, is_number, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from convmem.testing.provider.dialect import Dialect

__all__ = ["parameter_problems"]


def _nothing_or(accepts: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or accepts(value)


def _integer(low: int | None = None, high: int | None = None) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        return is_integer(value) and (low is None or value >= low) and (high is None or value <= high)

    return accepts


def _number(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: is_number(value) and low <= value <= high


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _tool_choice(value: object) -> bool:
    return is_object(value) or value in ("auto", "none", "required")


# By field: whether a value is taken, and what is expected.
_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "frequency_penalty": (_nothing_or(_number(-2, 2)), "a number from -2 to 2"),
    "logit_bias": (_nothing_or(is_object), "an object"),
    "logprobs": (_nothing_or(_boolean), "a boolean"),
    "max_completion_tokens": (_nothing_or(_integer(1)), "an integer of at least 1"),
    "max_tokens": (_nothing_or(_integer(1)), "an integer of at least 1"),
    "metadata": (_nothing_or(is_object), "an object"),
    "n": (_nothing_or(_integer(1, 128)), "an integer from 1 to 128"),
    "parallel_tool_calls": (_boolean, "a boolean"),
    "presence_penalty": (_nothing_or(_number(-2, 2)), "a number from -2 to 2"),
    "prompt_cache_key": (_nothing_or(_text), "a string"),
    "reasoning_effort": (_nothing_or(_text), "a string"),
    "response_format": (is_object, "an object"),
    "safety_identifier": (_nothing_or(_text), "a string"),
    "seed": (_nothing_or(_integer()), "an integer"),
    "service_tier": (_nothing_or(_text), "a string"),
    "store": (_nothing_or(_boolean), "a boolean"),
    "stream": (_nothing_or(_boolean), "a boolean"),
    "stream_options": (_nothing_or(is_object), "an object"),
    "temperature": (_nothing_or(_number(0, 2)), "a number from 0 to 2"),
    "enable_thinking": (_nothing_or(_boolean), "a boolean"),
    "reasoning_split": (_nothing_or(_boolean), "a boolean"),
    "thinking": (_nothing_or(is_object), "an object"),
    "thinking_budget": (_nothing_or(_integer(1)), "an integer of at least 1"),
    "tool_choice": (_nothing_or(_tool_choice), "auto, none, required or an object"),
    "top_logprobs": (_nothing_or(_integer(0, 20)), "an integer from 0 to 20"),
    "top_p": (_nothing_or(_number(0, 1)), "a number from 0 to 1"),
    "user": (_text, "a string"),
    "user_id": (_text, "a string"),
}


def parameter_problems(body: Mapping[str, object], dialect: Dialect) -> Iterator[Problem]:
    """Find what is wrong with the fields of a chat request other than `messages`."""
    for name in body:
        if name not in dialect.request_fields and not dialect.ignores_unknown:
            yield Problem(name, "unrecognized request argument", "parameter", {"field": name})
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield Problem("model", "you must provide a model parameter, a non-empty string")
    for name, (accepts, expected) in _CHECKS.items():
        if name in body and name in dialect.request_fields and not accepts(body[name]):
            yield Problem(name, f"expected {expected}, got {body[name]!r:.60}")
    temperature = body.get("temperature")
    if dialect.temperature is not None and temperature not in (None, dialect.temperature):
        yield Problem("temperature", f"only {dialect.temperature:g} is taken", "temperature")
    if "continue_final_message" in dialect.request_fields:
        yield from _continuation_problems(body)
    yield from _stop_problems(body, dialect)
    yield from _stream_option_problems(body)
    yield from _tool_problems(body, dialect)
    yield from _format_problems(body, dialect)


def _continuation_problems(body: Mapping[str, object]) -> Iterator[Problem]:
    if body.get("continue_final_message") and body.get("add_generation_prompt", True):
        yield Problem("continue_final_message", "cannot be true while add_generation_prompt is")


def _stop_problems(body: Mapping[str, object], dialect: Dialect) -> Iterator[Problem]:
    stop = body.get("stop")
    if stop is None or isinstance(stop, str):
        return
    if not is_array(stop) or not all(isinstance(each, str) for each in stop):
        yield Problem("stop", "expected a string or an array of strings")
    elif not 1 <= len(stop) <= dialect.stop_limit:
        yield Problem("stop", f"expected 1 to {dialect.stop_limit} sequences, got {len(stop)}")


def _stream_option_problems(body: Mapping[str, object]) -> Iterator[Problem]:
    options = body.get("stream_options")
    if not is_object(options):
        return
    if body.get("stream") is not True:
        yield Problem("stream_options", "only allowed when stream is true")
    for name, value in options.items():
        if name not in {"include_obfuscation", "include_usage"}:
            yield Problem(f"stream_options.{name}", "unrecognized request argument")
        elif not isinstance(value, bool):
            yield Problem(f"stream_options.{name}", "expected a boolean")


def _tool_problems(body: Mapping[str, object], dialect: Dialect) -> Iterator[Problem]:
    tools = body.get("tools")
    if tools is None:
        if "tools" in body:
            yield Problem("tools", "expected an array, got None")
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                yield Problem(name, "only allowed when tools are specified")
        return
    if not is_array(tools) or not tools:
        yield Problem("tools", "expected a non-empty array")
        return
    for index, tool in enumerate(tools):
        kind = tool.get("type") if is_object(tool) else None
        known = isinstance(kind, str) and kind in {"custom", "function"}
        detail = tool.get(str(kind)) if is_object(tool) and known else None
        if not is_object(detail):
            what = "expected a type of function or custom and an object under that name"
            yield Problem(f"tools[{index}]", what)
        elif not isinstance(detail.get("name"), str) or not detail["name"]:
            yield Problem(f"tools[{index}].{kind}.name", "expected a non-empty string")
        elif dialect.tool_parameters and not is_object(detail.get("parameters")):
            yield Problem(f"tools[{index}].{kind}.parameters", "expected an object", "tool-parameters")
    yield from _choice_problems(body, dialect)


def _choice_problems(body: Mapping[str, object], dialect: Dialect) -> Iterator[Problem]:
    choice = body.get("tool_choice")
    forced = choice == "required" or is_object(choice)
    if dialect.tool_choice == "not-required" and choice == "required":
        yield Problem("tool_choice", "required is not taken", "tool-choice")
    elif dialect.tool_choice == "unforced-in-thinking" and forced and not thinking_is_off(body, dialect):
        yield Problem("tool_choice", "no call can be forced while the model thinks", "tool-choice")


def _format_problems(body: Mapping[str, object], dialect: Dialect) -> Iterator[Problem]:
    wanted = body.get("response_format")
    if not is_object(wanted):
        return
    kind = wanted.get("type")
    if not isinstance(kind, str) or kind not in dialect.formats:
        what = f"expected one of {', '.join(sorted(dialect.formats))}"
        yield Problem("response_format.type", what, "format", {"format": kind})
    if kind == "json_schema" and not is_object(wanted.get("json_schema")):
        yield Problem("response_format.json_schema", "expected an object")
    if kind == "json_object" and dialect.json_word and "json" not in repr(body.get("messages")).casefold():
        what = "must contain the word 'json' to use a response_format of type json_object"
        yield Problem("messages", what, "json-word")
