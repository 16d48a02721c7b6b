"""One chat message: as plain JSON, as text, and as meaning."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from json.encoder import encode_basestring as _as_json  # pyright: ignore[reportUnknownVariableType]
from json.encoder import encode_basestring_ascii as _as_ascii  # pyright: ignore[reportUnknownVariableType]
from typing import Any, Final, cast

from convmem.errors import InputError

__all__ = [
    "ITEMS",
    "SETTINGS_ROLES",
    "calls_of",
    "copies",
    "dumps",
    "encodable",
    "is_foreign",
    "meaning_of",
    "meaning_pieces",
    "newest_user",
    "part_text",
    "plain",
    "plainer",
    "slices",
    "text_of",
    "weight_of",
]

SETTINGS_ROLES = frozenset({"system", "developer"})

ITEMS: Final = "items"
"""Where a message keeps the Responses items it stands for, verbatim. No provider is sent that field."""


_SLICE: Final = 1 << 16
"""Characters that are worked on in one step: .3 ms. No other thread of the process runs within a step, and
twenty megabytes in one step take .1 s and more."""


def slices(text: str) -> Iterator[str]:
    """A text in pieces of some ten thousand characters; a short one is one piece."""
    if len(text) <= _SLICE:
        yield text
        return
    for start in range(0, len(text), _SLICE):
        yield text[start : start + _SLICE]


def newest_user(messages: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the newest user message, in front of which memory puts what it adds; None without one."""
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "user"), None)


def weight_of(value: object) -> int:
    """Characters of the strings in a JSON value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(weight_of, cast("dict[str, object]", value).values()))
    return sum(map(weight_of, cast("list[object]", value))) if isinstance(value, list) else 0


def dumps(value: object) -> str:
    """JSON as compact text that any UTF-8 store can hold.

    Chinese stays readable; lone surrogates, which UTF-8 cannot hold, are escaped and come back the same.
    """
    if _has_long(value):
        try:
            return "".join(_encodable(_written(value, ascii_only=False)))
        except UnicodeEncodeError:
            return "".join(_written(value, ascii_only=True))
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def _encodable(pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        piece.encode()
        yield piece


def _has_long(value: object) -> bool:
    """Whether a string in a JSON value is longer than a slice."""
    if isinstance(value, str):
        return len(value) > _SLICE
    if isinstance(value, dict):
        return any(map(_has_long, cast("dict[str, object]", value).values()))
    return isinstance(value, list | tuple) and any(map(_has_long, cast("Sequence[object]", value)))


def _written(value: object, *, ascii_only: bool, meaning: bool = False) -> Iterator[str]:
    """The JSON of a value piece by piece, its long strings in slices; joined, it is what `json.dumps` gives.

    Args:
        value: with a string that is longer than a slice.
        ascii_only: escape all other characters.
        meaning: sort the keys, and write what is no JSON in the words of Python.
    """
    mark = uuid.uuid4().hex
    aside: list[str] = []
    frame = json.dumps(
        _without_long(value, mark, aside),
        ensure_ascii=ascii_only,
        sort_keys=meaning,
        separators=(",", ":"),
        default=repr if meaning else None,
    )
    escaped = _as_ascii if ascii_only else _as_json
    # Sorted keys change the order in which the strings stand, so each place says which one it is.
    before, *rest = frame.split(f'"{mark}')
    yield before
    for piece in rest:
        place, _, after = piece.partition('"')
        yield '"'
        for part in slices(aside[int(place)]):
            yield escaped(part)[1:-1]
        yield f'"{after}'


def _without_long(value: object, mark: str, aside: list[str]) -> object:
    """The value with a mark and a number for each long string, which is put aside."""
    if isinstance(value, str):
        if len(value) <= _SLICE:
            return value
        aside.append(value)
        return f"{mark}{len(aside) - 1}"
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {key: _without_long(item, mark, aside) for key, item in fields.items()}
    if isinstance(value, list | tuple):
        return [_without_long(item, mark, aside) for item in cast("Sequence[object]", value)]
    return value


_DEEPEST = 100
_LARGEST_BITS = 14_000
"""Of a whole number: Python writes no longer one in decimals."""


def encodable(text: str) -> bool:
    """Whether a name can be stored as text: lone surrogates cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def plain(value: object, *, where: str = "message", within: tuple[int, ...] = ()) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """A deep copy as JSON values: mappings, SDK objects (anything with `model_dump`), lists, tuples, scalars.

    Args:
        value: anything.
        where: its place, for errors.
        within: the objects it stands in.

    Raises:
        InputError: for what JSON cannot say, naming the place.
    """
    if value is None or isinstance(value, str | int | float):
        return _scalar(value, where)
    if _says_texts(value):
        return dict(cast("dict[str, str]", value))
    if id(value) in within:
        raise InputError(f"{where[:200]}: it holds itself; JSON cannot say that")
    if len(within) >= _DEEPEST:
        raise InputError(f"{where[:200]}: nested more than {_DEEPEST} deep; send something flatter")
    try:
        return _container(value, where, (*within, id(value)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{where}: {type(value).__name__} cannot be read ({error}); send plain JSON"
        ) from error


def copies(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Deep copies, for hands that are not ours: what they change must not come back with the next call."""
    return [plain(message) for message in messages]


def _says_texts(value: object) -> bool:
    """Whether it is a plain mapping whose keys and values are all strings, as most messages are."""
    if type(value) is not dict:  # a mapping of another type may raise when it is read
        return False
    for key, item in cast("dict[object, object]", value).items():
        if type(key) is not str or type(item) is not str:
            return False
    return True


def _scalar(value: str | float | None, where: str) -> object:
    """The value as JSON has it: of a subclass (an enum, a NumPy number) what it is made of."""
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: {float(value)!r} is not JSON; send a finite number, or None")
        return value if type(value) is float else float.__float__(value)
    if value is None or isinstance(value, bool):
        return value
    if value.bit_length() > _LARGEST_BITS:
        raise InputError(f"{where}: a whole number of more than 4,000 digits; send it as text")
    return value if type(value) is int else int.__int__(value)


def _container(value: object, where: str, within: tuple[int, ...]) -> object:
    if isinstance(value, Mapping):
        copy: dict[str, Any] = {}
        for key, item in cast("Mapping[object, object]", value).items():
            if not isinstance(key, str):
                raise InputError(
                    f"{where}: the key {key!r:.40} is not a string; JSON objects have string keys"
                )
            copy[str.__str__(key)] = plain(item, where=f"{where}.{key:.40}", within=within)
        return copy
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return plain(dump(mode="json", exclude_unset=True, warnings=False), where=where, within=within)
    kind = type(value)
    if issubclass(kind, Iterator):
        raise InputError(f"{where}: {kind.__name__} can be read only once; send a list")
    if issubclass(kind, Iterable) and not issubclass(kind, bytes | bytearray | memoryview | AbstractSet):
        items = cast("Iterable[object]", value)
        return [plain(item, where=f"{where}[{i}]", within=within) for i, item in enumerate(items)]
    raise InputError(f"{where}: {kind.__name__} is not JSON; send text, numbers, lists or mappings")


_MEDIA = {
    "image_url": "[image]",
    "input_image": "[image]",
    "computer_screenshot": "[image]",
    "input_audio": "[audio]",
    "video_url": "[video]",
    "file": "[file]",
    "input_file": "[file]",
}
_FOREIGN = frozenset({"computer_screenshot", "input_file", "input_image"})


def is_foreign(part: object) -> bool:
    """Whether a content part is one of the Responses API's that chat cannot say."""
    return isinstance(part, Mapping) and cast("Mapping[str, object]", part).get("type") in _FOREIGN


def part_text(part: object) -> str:
    """What a person would read of a content part."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    fields = cast("Mapping[str, object]", part)
    for key in ("text", "refusal"):
        if isinstance(text := fields.get(key), str):
            return text
    kind = fields.get("type")
    return _MEDIA.get(kind, "") if isinstance(kind, str) else ""


def text_of(message: Mapping[str, Any]) -> str:
    """What a person would read of a message: its text, its refusal or what it speaks; media as `[image]`."""
    content: object = message.get("content")
    if isinstance(content, str):
        text = content
    elif isinstance(content, Sequence):
        text = "\n".join(filter(None, map(part_text, cast("Sequence[object]", content))))
    else:
        text = ""
    refusal: object = message.get("refusal")
    return text or (refusal if isinstance(refusal, str) else "") or _transcript(message.get("audio"))


def _transcript(audio: object) -> str:
    """The words of a spoken reply."""
    words: object = (
        cast("Mapping[str, object]", audio).get("transcript") if isinstance(audio, Mapping) else None
    )
    return words if isinstance(words, str) else ""


def calls_of(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the tool calls an assistant message makes."""
    calls: object = message.get("tool_calls")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return ()
    made = (
        cast("Mapping[str, object]", c) for c in cast("Sequence[object]", calls) if isinstance(c, Mapping)
    )
    return tuple(call_id for call in made if isinstance(call_id := call.get("id"), str))


def _meant_arguments(arguments: object) -> object:
    """Arguments as JSON when they are, so that a re-serialized object means the same.

    What is nested too deep (a model that ran away with "[[[[…") means what it says, letter by letter.
    """
    if not isinstance(arguments, str):
        return arguments
    try:
        meant = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    brackets = arguments.count("[") + arguments.count("{")
    return arguments if brackets > _DEEPEST and not _is_flat(meant) else meant


def _is_flat(value: object) -> bool:
    """Whether a JSON value is nested at most `_DEEPEST` deep; level by level, without recursion."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [item for held in level for item in _items(held)]
        if not level:
            return True
    return False


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _meant_call(call: object) -> object:
    if not isinstance(call, Mapping):
        return call
    fields = cast("Mapping[str, Any]", call)
    function = cast("object", fields.get("function"))
    if isinstance(function, Mapping):
        made = cast("Mapping[str, Any]", function)
        return [fields.get("id"), made.get("name"), _meant_arguments(made.get("arguments"))]
    return {key: value for key, value in fields.items() if value is not None}


def _meant_part(part: object) -> object:
    """A content part without its weight: long strings (inline images, audio) stand as their hash."""
    if isinstance(part, str):
        return part if len(part) < 4096 else _hashed(part)  # noqa: PLR2004 (any size will do)
    if isinstance(part, Mapping):
        fields = cast("Mapping[str, object]", part)
        return {key: _meant_part(value) for key, value in fields.items() if value is not None}
    if isinstance(part, Sequence):
        return [_meant_part(item) for item in cast("Sequence[object]", part)]
    return part


def _hashed(text: str) -> str:
    digest = hashlib.sha256()
    for piece in slices(text):
        digest.update(piece.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _meant_content(content: object) -> object:
    if content is None:
        return ""
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, Sequence):
        return _meant_part(content)
    parts = [_meant_part(part) for part in cast("Sequence[object]", content)]
    if len(parts) == 1 and isinstance(parts[0], dict):
        only = cast("dict[str, object]", parts[0])
        if only.get("type") == "text" and isinstance(text := only.get("text"), str):
            return text.strip()
    return parts


# What besides role and content makes one message another: everything else (reasoning, annotations, ids of
# the provider, unknown fields) may be dropped or added by an app that sends the message back.
_MEANT_FIELDS = ("name", "tool_call_id", "refusal", "function_call", "audio")


def meaning_of(message: Mapping[str, Any]) -> bytes:
    """The bytes by which two copies of a message are recognized as the same saying.

    Role, text, names, tool ids and arguments count; a text given as a string or as one text part, `None`
    fields, white space at the ends and the formatting of arguments do not.
    """
    return b"".join(meaning_pieces(message))


def meaning_pieces(message: Mapping[str, Any]) -> Iterator[bytes]:
    """`meaning_of` piece by piece: of a huge message no more than one piece is made at a time."""
    meant = _meant(message)
    if _has_long(meant):
        for piece in _written(meant, ascii_only=True, meaning=True):
            yield piece.encode()
    else:
        yield json.dumps(meant, sort_keys=True, separators=(",", ":"), default=repr).encode()


def _meant(message: Mapping[str, Any]) -> list[object]:
    role: object = message.get("role")
    content: object = message.get("content")
    if isinstance(content, str) and isinstance(role, str) and len(message) == 2:  # noqa: PLR2004 (role and content: by far the most messages)
        meant: list[object] = [role, content.strip()]
    else:
        meant = [role, _meant_content(content)]
        for key in _MEANT_FIELDS:
            if (value := message.get(key)) is not None:
                meant.append({key: _meant_part(value)})
        calls: object = message.get("tool_calls")
        if isinstance(calls, Sequence) and calls:
            meant.append({"tool_calls": [_meant_call(call) for call in cast("Sequence[object]", calls)]})
    return meant


def plainer(message: dict[str, Any]) -> dict[str, Any]:
    """The message; its role and text alone when it cannot be written down or its meaning cannot be told."""
    try:
        meaning_of(message)
        dumps(message).encode()
    except Exception:  # noqa: BLE001 (whatever it is: the words are kept)
        return {"role": str(message.get("role")), "content": text_of(message)}
    return message
