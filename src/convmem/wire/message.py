"""Reads one chat message: as plain JSON, as text for people, and as the bytes that stand for its meaning."""

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
from convmem.wire.narrow import is_array, is_object

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
"""Roles of the messages that lead a body and say how to answer; they are no turns of the conversation."""

ITEMS: Final = "items"
"""The field in which a message keeps, verbatim, the Responses items it stands for; no provider is sent it."""


_SLICE: Final = 1 << 16
"""Characters that are worked on in one step, which takes .3 ms. No other thread of the process runs within a
step: twenty megabytes in one step would keep them all for .1 s and more."""


def slices(text: str) -> Iterator[str]:
    """Cut a text into pieces of at most 65,536 characters; a shorter text is one piece."""
    if len(text) <= _SLICE:
        yield text
        return
    for start in range(0, len(text), _SLICE):
        yield text[start : start + _SLICE]


def newest_user(messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the index of the newest user message, before which memory adds its text; None without one."""
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "user"), None)


def weight_of(value: object) -> int:
    """Count the characters of all strings in a JSON value, keys left out."""
    if isinstance(value, str):
        return len(value)
    if is_object(value):
        return sum(map(weight_of, value.values()))
    return sum(map(weight_of, value)) if is_array(value) else 0


def dumps(value: object) -> str:
    """Write a JSON value as compact text that any UTF-8 store can hold.

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
    """Whether a JSON value has a string in it that is longer than a slice."""
    if isinstance(value, str):
        return len(value) > _SLICE
    if is_object(value):
        return any(map(_has_long, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_long, cast("Sequence[object]", value)))


def _written(value: object, *, ascii_only: bool, meaning: bool = False) -> Iterator[str]:
    """Write a value as JSON piece by piece, long strings in slices; joined it is what `json.dumps` gives.

    Args:
        value: a value with a string that is longer than a slice.
        ascii_only: escape all characters that are not ASCII.
        meaning: sort the keys, and write a value that is no JSON as its `repr`.
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
    """Copy a value with a mark and a number in place of each long string, which is appended to `aside`."""
    if isinstance(value, str):
        if len(value) <= _SLICE:
            return value
        aside.append(value)
        return f"{mark}{len(aside) - 1}"
    if is_object(value):
        return {key: _without_long(item, mark, aside) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_long(item, mark, aside) for item in cast("Sequence[object]", value)]
    return value


_DEEPEST = 100
"""Levels of nesting that a message may have: real ones have fewer than twenty, and the functions here call
themselves once per level, of which Python allows some thousand."""
_LARGEST_BITS = 14_000
"""Bits of the largest whole number that is taken, some 4,200 decimal digits: Python refuses to write more
than 4,300 (`sys.get_int_max_str_digits`)."""


def encodable(text: str) -> bool:
    """Whether a name can be stored as text: lone surrogates cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def plain(value: object, *, where: str = "message", within: tuple[int, ...] = ()) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """Copy a value deeply as plain JSON values.

    Mappings, SDK objects (anything with `model_dump`), lists, tuples and scalars are understood.

    Args:
        value: anything.
        where: the place of the value, such as `messages[3].content`, for errors.
        within: the ids of the objects that the value stands in, from the outermost.

    Raises:
        InputError: JSON cannot say the value; the text names the place.
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
    """Copy messages deeply for a caller: what the caller changes must not come back with the next call."""
    return [plain(message) for message in messages]


def _says_texts(value: object) -> bool:
    """Whether a value is a plain dict whose keys and values are all strings, as most messages are."""
    if type(value) is not dict:  # a mapping of another type may raise when it is read
        return False
    for key, item in cast("dict[object, object]", value).items():
        if type(key) is not str or type(item) is not str:
            return False
    return True


def _scalar(value: str | float | None, where: str) -> object:
    """Return a scalar as JSON has it: of a subclass (an enum, a NumPy number) the value of the base class."""
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


# What a person reads in place of a part that is not text, by the part's type.
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
"""Types of content parts that only the Responses API has."""


def is_foreign(part: object) -> bool:
    """Whether a content part is of a type that the Responses API has and chat has not."""
    return isinstance(part, Mapping) and cast("Mapping[str, object]", part).get("type") in _FOREIGN


def part_text(part: object) -> str:
    """Return what a person would read of a content part: its text, or a mark such as `[image]`."""
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
    """Return what a person would read of a message: text, refusal or spoken words; a picture as `[image]`."""
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
    """Return the words of a spoken reply; an empty text where there are none."""
    words: object = (
        cast("Mapping[str, object]", audio).get("transcript") if isinstance(audio, Mapping) else None
    )
    return words if isinstance(words, str) else ""


def calls_of(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the tool calls that an assistant message makes."""
    calls: object = message.get("tool_calls")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return ()
    made = (
        cast("Mapping[str, object]", c) for c in cast("Sequence[object]", calls) if isinstance(c, Mapping)
    )
    return tuple(call_id for call in made if isinstance(call_id := call.get("id"), str))


def _meant_arguments(arguments: object) -> object:
    """Return a call's arguments as parsed JSON, so that the same object written another way means the same.

    A text that is no JSON, or is nested too deep (a model that ran away with "[[[[…"), stands for itself.
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
    """Whether a JSON value is nested at most `_DEEPEST` levels; found level by level, without recursion."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [item for held in level for item in _items(held)]
        if not level:
            return True
    return False


def _items(value: object) -> Iterable[object]:
    if is_object(value):
        return value.values()
    return value if is_array(value) else ()


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
    """Return a content part with its long strings (inline images, audio) replaced by their hashes."""
    if isinstance(part, str):
        # Any size would do, but must never change: meanings are stored as digests of what is made here.
        return part if len(part) < 4096 else _hashed(part)  # noqa: PLR2004
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
    if len(parts) == 1 and is_object(only := parts[0]) and only.get("type") == "text":
        text: object = only.get("text")
        if isinstance(text, str):
            return text.strip()
    return parts


# Fields besides role and content that count when two messages are compared. Everything else (reasoning,
# annotations, ids of the provider, unknown fields) may be dropped or added by an app that sends a message
# back. The order must not change: meanings are stored as digests of what is written in it.
_MEANT_FIELDS = ("name", "tool_call_id", "refusal", "function_call", "audio")


def meaning_of(message: Mapping[str, Any]) -> bytes:
    """Return the bytes by which two copies of a message are recognized as the same saying.

    Role, text, names, tool ids and arguments count; a text given as a string or as one text part, `None`
    fields, white space at the ends and the formatting of arguments do not.
    """
    return b"".join(meaning_pieces(message))


def meaning_pieces(message: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of `meaning_of` piece by piece, so that a huge message is never held as a whole."""
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
    """Return the message, or its role and text alone when it cannot be written as JSON or compared."""
    try:
        meaning_of(message)
        dumps(message).encode()
    except Exception:  # noqa: BLE001 (whatever it is: the words are kept)
        return {"role": str(message.get("role")), "content": text_of(message)}
    return message
