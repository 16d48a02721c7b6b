"""Messages, clients and raw requests for the tests of the local provider."""

from __future__ import annotations

import http.client
import json

from openai import OpenAI

from convmem.testing import Reply

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
HELLO = Reply("hello world, this is a reply")


def user(content, **fields):
    return {"role": "user", "content": content, **fields}


def says(**fields):
    return {"role": "assistant", **fields}


def call(call_id):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def result(call_id):
    return {"role": "tool", "tool_call_id": call_id, "content": "42"}


USER = user("hi")
HI = [USER]
CALLS = says(content=None, tool_calls=[call("a"), call("b")])


def connect(provider, **options):
    return OpenAI(base_url=provider.base_url, api_key="x", max_retries=0, **options)


def ask(client, messages=HI, **options):
    return client.chat.completions.create(model="m", messages=messages, **options)


def post(provider, path="/v1/chat/completions", body=b"", headers=None, method="POST"):
    """Send one raw request; return the status, the headers and the body."""
    connection = http.client.HTTPConnection(provider.origin.removeprefix("http://"), timeout=60)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": "Bearer x"} if headers is None else headers
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def chat(messages=HI, **options):
    return {"model": "m", "messages": messages, **options}


def events(raw):
    """The parsed data events of a raw stream, and whether it ended with [DONE]."""
    data = [line[6:] for line in raw.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"], data[-1:] == ["[DONE]"]
