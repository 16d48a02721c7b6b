"""An app that talks through memory, in each of its habits, and by the rules of each provider."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from convmem.testing.provider import DIALECTS

SYSTEM = {"role": "system", "content": "Answer briefly, as json where it is asked for."}
PICTURE = "data:image/png;base64,iVBORw0KGgo="
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
FUNCTION = {"name": "look_up", "description": "Look a place up.", "parameters": PARAMETERS}


@dataclass
class Said:
    """A turn as the app keeps it, in no provider's words."""

    role: str
    text: str = ""
    thought: str = ""
    picture: bool = False
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    call_id: str = ""


@dataclass
class App:
    """Keeps the conversation and writes the requests; a `newest` app sends only what is new.

    Attributes:
        habit: `newest` or `whole`.
        said: the turns.
        new: how many of them the next request is about.
    """

    habit: str
    said: list[Said] = field(default_factory=list)
    new: int = 0

    def speak(self, text: str, *, picture: bool) -> None:
        """Say something; or, without a text, answer the calls of the model."""
        if text:
            made = [Said("user", text, picture=picture)]
        else:
            made = [
                Said("tool", f"found {name}", call_id=call_id) for call_id, name, _ in self.said[-1].calls
            ]
        self.said += made
        self.new = len(made)

    def hear(self, reply: Said) -> bool:
        """Keep a reply; False for one that says nothing, after which a `whole` app asks again."""
        if reply.text or reply.calls:
            self.said.append(reply)
            return True
        return False

    def turns(self) -> list[Said]:
        return self.said if self.habit == "whole" else self.said[-self.new :]

    def messages(self, dialect: str) -> list[dict[str, Any]]:
        """The messages of a chat request, as the provider wants them of an app."""
        return [SYSTEM, *(_message(turn, dialect) for turn in self.turns())]

    def items(self) -> list[dict[str, Any]]:
        """The input of a Responses request."""
        return [SYSTEM, *(item for turn in self.turns() for item in _items(turn))]


def _message(turn: Said, dialect: str) -> dict[str, Any]:
    rules = DIALECTS[dialect]
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": _id(turn.call_id, dialect), "content": turn.text}
    if turn.role == "user":
        return {"role": "user", "content": _seen(turn, "text", "image_url", {"url": PICTURE})}
    made: dict[str, Any] = {"role": "assistant", "content": turn.text}
    if turn.calls:
        made["tool_calls"] = [_call(call, dialect) for call in turn.calls]
        if not turn.text and "empty" not in rules.beside_calls:
            del made["content"]
        if rules.signed_calls:
            signature = {"google": {"thought_signature": "skip_thought_signature_validator"}}
            made["tool_calls"][0]["extra_content"] = signature
    if rules.reasoning in {"require", "require-in-loop"}:
        made[rules.reasoning_field] = turn.thought
    elif rules.reasoning == "require-on-calls" and turn.calls:
        made[rules.reasoning_field] = turn.thought or " "
    return made


def _call(call: tuple[str, str, str], dialect: str) -> dict[str, Any]:
    call_id, _, arguments = call
    if DIALECTS[dialect].json_arguments:
        try:
            json.loads(arguments)
        except ValueError:
            arguments = "{}"
    function = {"name": "look_up", "arguments": arguments}
    return {"id": _id(call_id, dialect), "type": "function", "function": function}


def _id(call_id: str, dialect: str) -> str:
    pattern = DIALECTS[dialect].call_id_pattern
    if pattern is None or re.fullmatch(pattern, call_id):
        return call_id
    return f"{sum(call_id.encode()):09d}"


def _items(turn: Said) -> list[dict[str, Any]]:
    if turn.role == "tool":
        return [{"type": "function_call_output", "call_id": turn.call_id, "output": turn.text}]
    if turn.role == "user":
        return [{"role": "user", "content": _seen(turn, "input_text", "input_image", PICTURE)}]
    said = [{"role": "assistant", "content": turn.text}] if turn.text else []
    return said + [
        {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": arguments}
        for call_id, _, arguments in turn.calls
    ]


def _seen(turn: Said, words: str, image: str, shown: object) -> object:
    if not turn.picture:
        return turn.text
    return [{"type": words, "text": turn.text}, {"type": image, "image_url": shown}]


def ask(client: Any, door: str, app: App, *, model: str, dialect: str, tools: bool, as_json: bool) -> Said:
    """Make a call through one of the doors; what was said, in no provider's words."""
    if door == "responses":
        options: dict[str, Any] = {"tools": [{"type": "function", **FUNCTION}]} if tools else {}
        if as_json:
            options["text"] = {"format": {"type": "json_object"}}
        return _of_response(client.responses.create(model=model, input=app.items(), **options))
    options = {"tools": [{"type": "function", "function": FUNCTION}]} if tools else {}
    if as_json:
        options["response_format"] = {"type": "json_object"}
    given = {"model": model, "messages": app.messages(dialect), **options}
    if door == "chat":
        return _of_message(client.chat.completions.create(**given).choices[0].message.to_dict(warnings=False))
    return _of_stream(client.chat.completions.create(**given, stream=True))


def _of_message(message: dict[str, Any]) -> Said:
    text, thought = _text(message.get("content"))
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    spoken = (message.get("audio") or {}).get("transcript", "")
    thought = thought or message.get("reasoning_content") or message.get("reasoning") or ""
    return Said("assistant", text or spoken, thought, calls=calls)


def _of_stream(chunks: Any) -> Said:
    said = Said("assistant")
    made: dict[str, list[str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta.to_dict(warnings=False)
            text, thought = _text(delta.get("content"))
            said.text += text + ((delta.get("audio") or {}).get("transcript") or "")
            said.thought += thought + (delta.get("reasoning_content") or delta.get("reasoning") or "")
            for part in delta.get("tool_calls") or ():
                if part.get("id"):
                    made[part["id"]] = [part["function"]["name"], ""]
                made[[*made][-1]][1] += part["function"].get("arguments") or ""
    said.calls = [(call_id, name, arguments) for call_id, (name, arguments) in made.items()]
    said.text = re.sub(r"<think>.*?(</think>\s*|$)", "", said.text, flags=re.DOTALL)
    return said


def _of_response(response: Any) -> Said:
    said = Said("assistant", response.output_text)
    for item in response.output:
        if item.type == "function_call":
            said.calls.append((item.call_id, item.name, item.arguments))
    return said


def _text(content: object) -> tuple[str, str]:
    """What a content says, and what it thinks."""
    if isinstance(content, list):
        texts = [part["text"] for part in content if part["type"] == "text"]
        thoughts = [each["text"] for part in content for each in part.get("thinking", ())]
        return "".join(texts), "".join(thoughts)
    text = str(content or "")
    thoughts = re.findall(r"<think>\n?(.*?)(?:\n?</think>|$)", text, flags=re.DOTALL)
    return re.sub(r"<think>.*?</think>\s*", "", text, flags=re.DOTALL) if thoughts else text, "".join(
        thoughts
    )
