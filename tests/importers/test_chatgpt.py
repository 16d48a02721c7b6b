"""Reading ChatGPT's export."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime

import pytest

import convmem
from convmem.importers import chatgpt, read

BEGAN = 1_772_442_000.0  # 2 March 2026, 9:00 UTC


def node(name, parent, role, *parts, children=(), at=None, **message):
    content = {"content_type": "text", "parts": list(parts)}
    found = {"id": name, "author": {"role": role}, "content": content, "create_time": at, **message}
    return {"id": name, "message": found, "parent": parent, "children": list(children)}


def conversation(**changes):
    """A question asked anew: the first wording and its answer were left behind."""
    nodes = [
        {"id": "root", "message": None, "parent": None, "children": ["sys"]},
        node("sys", "root", "system", "", children=["u1", "u2"]),
        node("u1", "sys", "user", "Where is my gate?", children=["a1"], at=BEGAN + 1),
        node("a1", "u1", "assistant", "Which flight?", at=BEGAN + 2),
        node("u2", "sys", "user", "MU5101 从哪个登机口走?", children=["t"], at=BEGAN + 3),
        node("t", "u2", "assistant", "search(...)", children=["r"], at=BEGAN + 4, recipient="browser"),
        node("r", "t", "tool", "gate 221", children=["h"], at=BEGAN + 5),
        node(
            "h",
            "r",
            "user",
            "hidden",
            children=["a2"],
            metadata={"is_visually_hidden_from_conversation": True},
        ),
        node("a2", "h", "assistant", "221 号", "登机口。", at=BEGAN + 6),
    ]
    mapping = {item["id"]: item for item in nodes}
    return {
        "title": "Gate",
        "create_time": BEGAN,
        "id": "c-1",
        "mapping": mapping,
        "current_node": "a2",
    } | changes


def test_the_branch_that_was_seen_last_is_read():
    found = chatgpt.parse(json.dumps([conversation()]))
    assert [(row.session, row.message["role"], row.message["content"]) for row in found] == [
        ("c-1", "user", "MU5101 从哪个登机口走?"),
        ("c-1", "assistant", "221 号\n登机口。"),
    ]
    assert found[0].at == datetime.fromtimestamp(BEGAN + 3, UTC)


def test_another_current_node_means_another_branch():
    found = chatgpt.parse(json.dumps([conversation(current_node="a1")]))
    assert [row.message["content"] for row in found] == ["Where is my gate?", "Which flight?"]


def test_without_a_current_node_the_last_leaf_is_taken():
    found = chatgpt.parse(json.dumps([conversation(current_node=None)]))
    assert found[-1].message["content"] == "221 号\n登机口。"


def test_conversations_come_in_the_order_of_their_beginning_and_have_names_of_their_own():
    later = conversation(create_time=BEGAN + 100, id=None)
    earlier = conversation(create_time=BEGAN - 100, id=None)
    found = chatgpt.parse(json.dumps([later, earlier]))
    assert list(dict.fromkeys(row.session for row in found)) == ["Gate #2", "Gate"]


def test_a_message_without_a_time_has_that_of_the_conversation():
    mapping = conversation()["mapping"] | {"a2": node("a2", "h", "assistant", "221", at=0)}
    found = chatgpt.parse(json.dumps([conversation(mapping=mapping)]))
    assert found[-1].at == datetime.fromtimestamp(BEGAN, UTC)


def test_images_are_marked_and_reasoning_is_left_out():
    image = {"content_type": "image_asset_pointer", "asset_pointer": "file://x"}
    photo = node("p", None, "user", image, "What is this?", children=["th"])
    photo["message"]["content"]["content_type"] = "multimodal_text"
    thought = node("th", "p", "assistant", "hm", children=["a"])
    thought["message"]["content"]["content_type"] = "thoughts"
    mapping = {"p": photo, "th": thought, "a": node("a", "th", "assistant", "A gate.")}
    found = chatgpt.parse(json.dumps([conversation(mapping=mapping, current_node="a")]))
    assert [row.message["content"] for row in found] == ["[image]\nWhat is this?", "A gate."]


def test_of_what_was_spoken_the_transcription_is_read_and_footnotes_are_not():
    spoken = {"content_type": "audio_transcription", "text": "Is 14 volts fine?", "direction": "in"}
    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://x", "metadata": {}}
    asked = node("q", None, "user", spoken, sound, children=["a"])
    alone = node("s", "a", "user", sound)
    for spoken_node in (asked, alone):
        spoken_node["message"]["content"]["content_type"] = "multimodal_text"
    answer = node("a", "q", "assistant", "Yes.\ue200cite\ue202turn0search1\ue201 Quite.", children=["s"])
    mapping = {"q": asked, "a": answer, "s": alone}
    found = chatgpt.parse(json.dumps([conversation(mapping=mapping, current_node="s")]))
    assert [row.message["content"] for row in found] == ["Is 14 volts fine?", "Yes. Quite.", "[audio]"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"mapping": {}}, "no list of conversations"),
        (["x"], "conversation 1 has no mapping"),
        ([conversation(), {"title": "x"}], "conversation 2 has no mapping"),
        ([conversation(current_node="gone")], r"conversation 1 \(Gate\): its mapping has no node 'gone'"),
        ([conversation(create_time="soon")], r"conversation 1 \(Gate\): create_time is no time"),
        (
            [conversation(mapping={"a2": node("a2", "a2", "user", "x")})],
            r"conversation 1 \(Gate\): node 'a2' is among its own parents",
        ),
    ],
)
def test_a_broken_conversation_is_named(value, said):
    with pytest.raises(convmem.InputError, match=said):
        chatgpt.parse(json.dumps(value))


def test_text_that_is_not_json_says_so():
    with pytest.raises(convmem.InputError, match="not JSON"):
        chatgpt.parse("[{")


def test_the_archive_it_comes_in_is_read_too(tmp_path):
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("chat.html", "<html>")
        archive.writestr("conversations.json", json.dumps([conversation()]))
    assert len(read(file)) == 2

    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("chat.html", "<html>")
    with pytest.raises(convmem.InputError, match=r"holds no conversations\.json"):
        read(file)


def test_an_export_without_messages_says_so(tmp_path):
    file = tmp_path / "conversations.json"
    file.write_text("[]")
    with pytest.raises(convmem.InputError, match="holds no messages"):
        read(file)
