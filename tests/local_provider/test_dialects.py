"""Each cell of the tables in docs/providers.md, asked of the local provider in that dialect."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.local_provider.asking import TOOLS, USER, call, chat, events, post, result, says, user

from convmem.testing import LocalProvider, Reply, ToolCall
from convmem.testing.provider import DIALECTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
TWO_CALLS = Reply(tool_calls=[ToolCall("f", {"a": "b" * 20}), ToolCall("f", {"c": 1})])


def table() -> tuple[list[str], dict[str, dict[str, str]]]:
    """The names of the dialects, and the cells by row and dialect, of all the tables."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("<!-- the tests read these tables -->")[2]
    text = text.partition("\n## ")[0]
    names: list[str] = []
    found: dict[str, dict[str, str]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        (_, *columns), _, *body = lines
        names += columns
        for row, *cells in body:
            found.setdefault(row, {}).update(zip(columns, cells, strict=True))
    return names, found


NAMES, ROWS = table()


@pytest.fixture(scope="module")
def providers():
    """One local provider for each dialect."""
    running = {name: LocalProvider(dialect=name).start() for name in NAMES}
    yield running
    for provider in running.values():
        provider.close()


def verdict(provider, body) -> str:
    """Whether a request is taken, else the status."""
    status = post(provider, body=body)[0]
    return "taken" if status == 200 else str(status)


def message_of(provider, reply, **options) -> dict:
    provider.script(reply)
    return json.loads(post(provider, body=chat(**options))[2])["choices"][0]["message"]


def streamed(provider, reply, **options) -> tuple[list[dict], bytes]:
    provider.script(reply)
    raw = post(provider, body=chat(stream=True, **options))[2]
    return events(raw)[0], raw


def tool_deltas(provider) -> list[dict]:
    chunks, _ = streamed(provider, TWO_CALLS, tools=TOOLS)
    return [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", ())]


CALL_ID = "abc123def"  # what every one of them takes


def asked(provider, **fields) -> list[dict]:
    """A round with a tool call, legal in the provider's dialect but for `fields` of the call's turn."""
    dialect = DIALECTS[provider.dialect]
    one = call(CALL_ID)
    if dialect.signed_calls:
        one["extra_content"] = {"google": {"thought_signature": "signature-1-0"}}
    turn = says(tool_calls=[one])
    if "absent" not in dialect.beside_calls:
        turn["content"] = ""
    if dialect.reasoning in {"require", "require-in-loop", "require-on-calls"}:
        turn[dialect.reasoning_field] = "hm"
    return [USER, {**turn, **fields}, result(CALL_ID)]


def offering(messages, **options) -> dict:
    return chat(messages, tools=TOOLS, **options)


def reasoning_in_replies(provider) -> str:
    message = message_of(provider, Reply("a", reasoning_content="hm"))
    if isinstance(message["content"], list):
        return "a part"
    if message["content"].startswith("<think>"):
        return "`<think>`"
    return next(f"`{key}`" for key in message if key.startswith("reasoning"))


def reasoning_sent_back(provider) -> str:
    field = DIALECTS[provider.dialect].reasoning_field
    thoughtful = asked(provider, **{field: "hm"})
    if (status := verdict(provider, offering(thoughtful))) != "taken":
        return status
    bare = [{key: value for key, value in each.items() if key != field} for each in thoughtful]
    if verdict(provider, offering(bare)) == "taken":
        return "taken"
    assert verdict(provider, offering(bare, thinking={"type": "disabled"})) == "taken"
    if verdict(provider, chat(bare)) != "taken":
        assert verdict(provider, offering(asked(provider, **{field: ""}))) == "400"
        return "required beside calls"
    later = verdict(provider, offering([*bare, says(content="x", **{field: ""}), USER]))
    return "required in the tool loop" if later == "taken" else "required with tools"


def content_beside_calls(provider) -> str:
    forms = {"absent": {}, "null": {"content": None}, '`""`': {"content": ""}}
    bare = [{key: value for key, value in each.items() if key != "content"} for each in asked(provider)[1:2]]
    taken = [
        name
        for name, form in forms.items()
        if verdict(provider, offering([USER, {**bare[0], **form}, result(CALL_ID)])) == "taken"
    ]
    return ", ".join(taken)


def ids_taken(provider) -> str:
    def taken(call_id):
        dialect = DIALECTS[provider.dialect]
        turn = asked(provider)[1]
        turn["tool_calls"] = [{**turn["tool_calls"][0], "id": call_id}]
        assert dialect.name == provider.dialect
        return verdict(provider, offering([USER, turn, result(call_id)])) == "taken"

    if not taken("call_1"):
        return "nine letters and digits"
    if not taken("f:1"):
        return "letters, digits, `_`, `-`"
    return "any" if taken("a" * 41) else "up to 40 signs"


def arguments_that_are_no_json(provider) -> str:
    turn = asked(provider)[1]
    broken = {**turn["tool_calls"][0], "function": {"name": "f", "arguments": '{"a": '}}
    return verdict(provider, offering([USER, {**turn, "tool_calls": [broken]}, result(CALL_ID)]))


def too_long(provider) -> str:
    with LocalProvider(dialect=provider.dialect, context_limit=1_000) as small:
        assert verdict(small, chat()) == "taken"
        status, _, raw = post(small, body=chat([user("word " * 2_000)]))
    return f"{status}, limit named" if b"1000" in raw.replace(b"1,000", b"1000") else str(status)


def ids_of_calls(provider) -> str:
    ids = [c["id"] for c in message_of(provider, TWO_CALLS, tools=TOOLS)["tool_calls"]]
    assert len(set(ids)) == 2
    return "`" + re.match(r"[a-z_-]*", ids[0])[0] + "`"


def streamed_calls(provider) -> str:
    deltas = tool_deltas(provider)
    shape = "whole" if len(deltas) == 2 else "pieces"
    return f"{shape}, one index" if {delta["index"] for delta in deltas} == {0} else shape


def signatures(provider) -> str:
    message = message_of(provider, TWO_CALLS, tools=TOOLS)
    if "extra_content" not in message["tool_calls"][0]:
        return "none"
    message = {key: message[key] for key in ("role", "content", "tool_calls")}
    first, second = message["tool_calls"]
    results = [result(first["id"]), result(second["id"])]

    def signed(signature) -> list[dict]:
        extra = {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}
        one = {key: value for key, value in first.items() if key != "extra_content"} | extra
        return [USER, {**message, "tool_calls": [one, second]}, *results]

    assert verdict(provider, chat([USER, message, *results])) == "taken"
    assert verdict(provider, chat(signed(None))) == "400"
    assert verdict(provider, chat(signed("of another model"))) == "400"
    assert verdict(provider, chat(signed("skip_thought_signature_validator"))) == "taken"
    assert verdict(provider, chat([*signed(None), says(content="x"), USER])) == "taken"
    return "required in the round"


def cached_tokens(provider) -> str:
    body = chat([user("word " * 2_000)])
    post(provider, body=body)
    usage = json.loads(post(provider, body=body)[2])["usage"]
    hits = usage.get("prompt_cache_hit_tokens")
    if hits is not None:
        assert hits + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
        return "`prompt_cache_hit_tokens`"
    details = usage.get("prompt_tokens_details")
    assert details is None or details["cached_tokens"] > 1_000
    return "`prompt_tokens_details.cached_tokens`" if details else "not said"


def streamed_usage(provider) -> str:
    plain, _ = streamed(provider, Reply("a"))
    counted, _ = streamed(provider, Reply("a"), stream_options={"include_usage": True})
    assert not any(chunk.get("usage") for chunk in [*plain, *counted[:-1]])
    assert counted[-1]["usage"]["total_tokens"] > 0
    return "last chunk, no choices" if counted[-1]["choices"] == [] else "last chunk"


def stream_end(provider) -> str:
    return "`" + streamed(provider, Reply("a"))[1].decode().rstrip().rpartition("data: ")[2] + "`"


def kept_alive(provider) -> str:
    comment = streamed(provider, Reply("a", keep_alive=2))[1].split(b"\n\n")[:2]
    assert comment[0] == comment[1]
    provider.script(Reply("a", keep_alive=2))
    assert post(provider, body=chat())[2].startswith(b"\n\n{")
    return f"`{comment[0].decode()}`"


def prefix_completion(provider) -> str:
    last = says(content="x")
    first = chat([USER, {**last, "prefix": True}, USER])
    given = chat([USER, {**last, "prefix": True}])
    if (verdict(provider, given), verdict(provider, first)) == ("taken", "400"):
        return "`prefix`"
    given = chat([USER, last], continue_final_message=True)
    alone = {**given, "add_generation_prompt": False}
    if (verdict(provider, alone), verdict(provider, given)) == ("taken", "400"):
        return "`continue_final_message`"
    return "none"


def error_place(provider) -> str:
    body = json.loads(post(provider, body=chat([]))[2])
    inner = body[0] if isinstance(body, list) else body
    error = inner.get("error")
    shape = "`message`" if error is None else "`error`" if isinstance(error, str) else "`error.message`"
    return f"list of {shape}" if isinstance(body, list) else shape


def error_field(provider, name) -> str:
    body = json.loads(post(provider, body=chat([]))[2])
    inner = body[0] if isinstance(body, list) else body
    error = inner.get("error", inner)
    error = inner if isinstance(error, str) else error
    if name not in error:
        return "none"
    value = error[name]
    return "null" if value is None else f"`{value}`" if isinstance(value, str) else str(value)


PROBES = {
    "system message inside the conversation": lambda p: verdict(
        p, chat([USER, {"role": "system", "content": "x"}])
    ),
    "two user messages in a row": lambda p: verdict(p, chat([USER, USER])),
    "role `developer`": lambda p: verdict(p, chat([{"role": "developer", "content": "x"}, USER])),
    "assistant message first": lambda p: verdict(p, chat([says(content="x"), USER])),
    "assistant message last": lambda p: verdict(p, chat([USER, says(content="x")])),
    "user message after a tool's result": lambda p: verdict(p, offering([*asked(p), USER])),
    "more than 2,048 messages": lambda p: verdict(p, chat([USER, says(content="x")] * 1_024 + [USER])),
    "assistant without content and calls": lambda p: verdict(p, chat([USER, says(content=""), USER])),
    "content beside tool calls": content_beside_calls,
    "ids of tool calls sent back": ids_taken,
    "arguments that are not JSON": arguments_that_are_no_json,
    "`name` of a user": lambda p: verdict(p, chat([user("hi", name="Ana")])),
    "field of another API in a message": lambda p: verdict(p, chat([user("hi", status="completed")])),
    "empty text of a user": lambda p: verdict(p, chat([user("")])),
    "calls without `tools`": lambda p: verdict(p, chat(asked(p))),
    "request that is too long": too_long,
    "reasoning in replies": reasoning_in_replies,
    "reasoning sent back": reasoning_sent_back,
    "ids of tool calls": ids_of_calls,
    "streamed tool calls": streamed_calls,
    "signatures on tool calls": signatures,
    "unknown field in the request": lambda p: verdict(p, chat(colour="red")),
    "assistant's content as a list": lambda p: verdict(
        p, chat([USER, says(content=[{"type": "text", "text": "x"}]), USER])
    ),
    "cached tokens in usage": cached_tokens,
    "usage of a stream, when asked for": streamed_usage,
    "end of a stream": stream_end,
    "kept alive by": kept_alive,
    "prefix completion": prefix_completion,
    'JSON mode without the word "json"': lambda p: verdict(p, chat(response_format={"type": "json_object"})),
    "JSON schema as response format": lambda p: verdict(
        p, chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}})
    ),
    "error in the body": error_place,
    "its type, for status 400": lambda p: error_field(p, "type"),
    "its code, for status 400": lambda p: error_field(p, "code"),
}
CELLS = [
    (row, name, cell)
    for row, cells in ROWS.items()
    for name, cell in cells.items()
    if cell != "unknown" and not (row == "reasoning in replies" and cell == "none")
]


def test_the_table_has_every_dialect_and_every_difference_is_probed():
    assert sorted(NAMES) == sorted(DIALECTS)
    assert set(ROWS) == set(PROBES)


@pytest.mark.parametrize(("row", "name", "cell"), CELLS)
def test_the_local_provider_differs_as_the_document_says(providers, row, name, cell):
    assert PROBES[row](providers[name]) == cell
