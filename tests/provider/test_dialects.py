"""Each cell of the table in docs/providers.md, asked of the local provider in that dialect."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.provider.asking import TOOLS, USER, call, chat, events, post, result, says, user

from convmem.testing import LocalProvider, Reply, ToolCall
from convmem.testing.provider import DIALECTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
TWO_CALLS = Reply(tool_calls=[ToolCall("f", {"a": "b" * 20}), ToolCall("f", {"c": 1})])


def table() -> tuple[list[str], dict[str, list[str]]]:
    """The names of the dialects, and the cells by row."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("<!-- the tests read this table -->")[2]
    lines = [line for line in text.split("\n") if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    (_, *names), _, *body = rows
    return names, {row[0]: row[1:] for row in body}


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


def reasoning_in_replies(provider) -> str:
    message = message_of(provider, Reply("a", reasoning_content="hm"))
    return next(f"`{key}`" for key in message if key.startswith("reasoning"))


def reasoning_sent_back(provider) -> str:
    field = DIALECTS[provider.dialect].reasoning_field
    calls = says(content=None, tool_calls=[call("a")])
    bare = [USER, calls, result("a")]
    # With the signature that Gemini wants anyway; nobody else is shown one.
    if DIALECTS[provider.dialect].signed_calls:
        signed = {**call("a"), "extra_content": {"google": {"thought_signature": "s"}}}
        bare = [USER, {**calls, "tool_calls": [signed]}, result("a")]
    thoughtful = [USER, {**bare[1], field: "hm"}, result("a")]
    if verdict(provider, chat(thoughtful, tools=TOOLS)) != "taken":
        return verdict(provider, chat(thoughtful, tools=TOOLS))
    if verdict(provider, chat(bare, tools=TOOLS)) == "taken":
        return "taken"
    assert verdict(provider, chat(bare)) == "taken"
    assert verdict(provider, {**chat(bare, tools=TOOLS), "thinking": {"type": "disabled"}}) == "taken"
    later = verdict(provider, chat([*bare, says(content="x", **{field: ""}), USER], tools=TOOLS))
    return "required in the tool loop" if later == "taken" else "required with tools"


def ids_of_calls(provider) -> str:
    ids = [c["id"] for c in message_of(provider, TWO_CALLS, tools=TOOLS)["tool_calls"]]
    assert len(set(ids)) == 2
    return "`" + re.match(r"[a-z_-]*", ids[0])[0] + "`"


def streamed_calls(provider) -> str:
    deltas = tool_deltas(provider)
    shape = "whole" if len(deltas) == 2 else "pieces"
    return f"{shape}, one index" if {delta["index"] for delta in deltas} == {0} else shape


def signatures(provider) -> str:
    message = {"content": None, **message_of(provider, TWO_CALLS, tools=TOOLS)}
    if "extra_content" not in message["tool_calls"][0]:
        return "none"
    message = {key: message[key] for key in ("role", "content", "tool_calls")}
    bare = {
        **message,
        "tool_calls": [{k: v for k, v in c.items() if k != "extra_content"} for c in message["tool_calls"]],
    }
    results = [result(c["id"]) for c in message["tool_calls"]]
    assert verdict(provider, chat([USER, message, *results])) == "taken"
    assert verdict(provider, chat([USER, bare, *results])) == "400"
    assert verdict(provider, chat([USER, bare, *results, says(content="x"), USER])) == "taken"
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
    asked, _ = streamed(provider, Reply("a"), stream_options={"include_usage": True})
    assert not any(chunk.get("usage") for chunk in [*plain, *asked[:-1]])
    assert asked[-1]["usage"]["total_tokens"] > 0
    return "last chunk, no choices" if asked[-1]["choices"] == [] else "last chunk"


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
    first = chat([{**last, "prefix": True}, USER])
    asked = chat([USER, {**last, "prefix": True}])
    if (verdict(provider, asked), verdict(provider, first)) == ("taken", "400"):
        return "`prefix`"
    asked = chat([USER, last], continue_final_message=True)
    alone = {**asked, "add_generation_prompt": False}
    if (verdict(provider, alone), verdict(provider, asked)) == ("taken", "400"):
        return "`continue_final_message`"
    return "none"


def error_place(provider) -> str:
    body = json.loads(post(provider, body=chat([]))[2])
    inner = body[0] if isinstance(body, list) else body
    text = inner["error"] if isinstance(inner["error"], str) else inner["error"]["message"]
    assert text.startswith("messages:")
    shape = "`error`" if isinstance(inner["error"], str) else "`error.message`"
    return f"list of {shape}" if isinstance(body, list) else shape


def error_field(provider, name) -> str:
    body = json.loads(post(provider, body=chat([]))[2])
    error = (body[0] if isinstance(body, list) else body)["error"]
    if isinstance(error, str) or name not in error:
        return "none"
    value = error[name]
    return "null" if value is None else f"`{value}`" if isinstance(value, str) else str(value)


PROBES = {
    "system message inside the conversation": lambda p: verdict(
        p, chat([USER, {"role": "system", "content": "x"}])
    ),
    "two user messages in a row": lambda p: verdict(p, chat([USER, USER])),
    "role `developer`": lambda p: verdict(p, chat([{"role": "developer", "content": "x"}, USER])),
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
    for name, cell in zip(NAMES, cells, strict=True)
    if cell != "unknown" and not (row == "reasoning in replies" and cell == "none")
]


def test_the_table_has_every_dialect_and_every_difference_is_probed():
    assert sorted(NAMES) == sorted(DIALECTS)
    assert set(ROWS) == set(PROBES)


@pytest.mark.parametrize(("row", "name", "cell"), CELLS)
def test_the_local_provider_differs_as_the_document_says(providers, row, name, cell):
    assert PROBES[row](providers[name]) == cell
