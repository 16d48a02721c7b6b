"""Data sets in the formats in which they are published."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import convmem
from convmem.bench.command import main
from convmem.bench.datasets import find, parse_date
from convmem.errors import InputError


def test_a_history_put_together_from_shared_sessions_hides_their_names(data):
    question = find(data, ["shared"])[0].load().questions[0]
    assert [session.name for session in question.conversation.sessions] == ["s1", "s2"]
    assert question.gold_sessions == ("s2",)
    assert question.now == datetime(2024, 2, 9, 10, tzinfo=UTC)


def test_locomo_as_published(tmp_path):
    def said(session, place, who, text, **more):
        return {"speaker": who, "dia_id": f"D{session}:{place}", "text": text, **more}

    conversation = {
        "speaker_a": "Odile",
        "speaker_b": "Tamsin",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [said(1, 1, "Odile", "I bought a kiln."), said(1, 2, "Tamsin", "For pots?")],
        "session_2_date_time": "9:00 am on 2 June, 2023",
        "session_2": [said(2, 1, "Odile", "Look!", blip_caption="a blue bowl", img_url=["x"])],
        "session_10_date_time": "9:00 am on 3 June, 2023",
        "session_10": [said(10, 3, "Tamsin", "Nice."), said(10, 11, "Odile", "Thanks.")],
        "session_11_date_time": "9:00 am on 4 June, 2023",
        "session_11": [],
    }
    qa = [
        {"question": "What did Odile buy?", "answer": "a kiln", "evidence": ["D1:1"], "category": 4},
        {"question": "What happened?", "answer": 2023, "evidence": ["D1:1; D2:1", "D:10:011"], "category": 1},
        {
            "question": "What did Odile sell?",
            "adversarial_answer": "a kiln",
            "evidence": ["D1:1"],
            "category": 5,
        },
        {"question": "Who else?", "answer": "nobody", "evidence": ["D9:9"], "category": 3},
    ]
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps([{"sample_id": "conv-1", "conversation": conversation, "qa": qa}]), "utf-8")
    made = find(path)[0].load()
    assert made.name == "locomo10"
    by_id = {question.id: question for question in made.questions}
    buy, happened, sold = by_id["conv-1-q0"], by_id["conv-1-q1"], by_id["conv-1-q2"]
    assert [len(session.turns) for session in buy.conversation.sessions] == [2, 1, 2]
    assert [turn.speaker for turn in buy.conversation.turns][:2] == ["Odile", "Tamsin"]
    assert [turn.text for turn in buy.conversation.turns][2] == "Look! [image: a blue bowl]"
    assert (buy.category, happened.category, sold.category) == ("single-hop", "multi-hop", "adversarial")
    assert happened.gold == ("D1:1", "D2:1", "D10:11")
    assert happened.answer == "2023"
    assert (sold.answerable, sold.gold, sold.answer) == (False, (), None)
    assert made.left_out == {"without earlier evidence outside the running session": 1}


def longmemeval(**more):
    return {
        "question_id": "q1",
        "question_type": "single-session-user",
        "question": "Where did I leave the skis?",
        "answer": "in the shed",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": ["answer_1", "filler_1"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/10 (Wed) 10:00"],
        "haystack_sessions": [
            [
                {"role": "user", "content": "The skis are in the shed.", "has_answer": True},
                {"role": "assistant", "content": "Noted.", "has_answer": False},
            ],
            [{"role": "user", "content": "Hello."}],
        ],
        "answer_session_ids": ["answer_1"],
        **more,
    }


def test_longmemeval_as_published_in_the_order_of_time_and_without_telling_ids(tmp_path):
    path = tmp_path / "longmemeval_oracle.json"
    path.write_text(json.dumps([longmemeval(), longmemeval(question_id="q2_abs")]), "utf-8")
    known, unknown = find(path)[0].load().questions
    assert [session.at.day for session in known.conversation.sessions] == [10, 20]
    assert next(known.conversation.turns).text == "Hello."
    assert [turn.role for turn in known.conversation.turns] == ["user", "user", "assistant"]
    (gold,) = known.gold
    assert {turn.id: turn.text for turn in known.conversation.turns}[gold] == "The skis are in the shed."
    assert known.gold_sessions == ("s2",)
    assert known.now == datetime(2023, 5, 30, 23, 40, tzinfo=UTC)
    assert not any("answer" in turn.id for turn in known.conversation.turns)
    assert not unknown.answerable


def beam(home, name, chat):
    folder = home / name
    (folder / "probing_questions").mkdir(parents=True)
    (folder / "chat.json").write_text(json.dumps(chat), "utf-8")
    asked = {
        "knowledge_update": [
            {
                "question": "How many columns now?",
                "answer": "Nine",
                "source_chat_ids": {"original_info": [0], "updated_info": [2]},
            }
        ],
        "summarization": [
            {"question": "Sum it up.", "ideal_summary": "Columns.", "source_chat_ids": [0, [2]]}
        ],
        "abstention": [{"question": "Why blue?", "ideal_response": "Not said."}],
    }
    (folder / "probing_questions" / "probing_questions.json").write_text(json.dumps(asked), "utf-8")
    return folder


SURE = "Sure.\nDone."


def batch(first, anchor):
    user = {"role": "user", "id": first, "content": f"Turn {first}. ->-> 2,22, 24", "time_anchor": anchor}
    reply = {"role": "assistant", "id": first + 1, "content": SURE}
    return {"batch_number": 1, "turns": [[user, reply]], "time_anchor": None}


def test_beam_as_published(tmp_path):
    home = tmp_path / "100K"
    beam(home, "2", [batch(0, "March-15-2024"), batch(2, "April-05-2024")])
    cut = beam(home, "10", [batch(0, "March-15-2024"), batch(2, "April-05-2024"), batch(4, "May-01-2024")])
    (cut / "chat_trunecated.json").write_text(json.dumps([batch(0, None), batch(2, None)]), "utf-8")
    made = find(home)[0].load()
    assert made.name == "beam_100K"
    ids = [question.id for question in made.questions]
    assert ids[:2] == ["beam-100K-2-knowledge_update-0", "beam-100K-2-summarization-0"]
    first = made.questions[0]
    assert [turn.text for turn in first.conversation.turns] == ["Turn 0.", SURE, "Turn 2.", SURE]
    assert [session.at.month for session in first.conversation.sessions] == [3, 4]
    assert first.gold == made.questions[1].gold == ("0", "2")
    assert (made.questions[1].answer, made.questions[2].answerable) == ("Columns.", False)
    assert len(list(made.questions[-1].conversation.turns)) == 4, (
        "of a chat that was cut, the rest is not used"
    )


def test_beam_of_ten_million_tokens_comes_by_plans(tmp_path):
    plans = [{"plan-1": [batch(0, "March-15-2024")]}, {"plan-2": [batch(2, "April-05-2024")], "plan-3": None}]
    beam(tmp_path / "10M", "1", plans)
    made = find(tmp_path / "10M")[0].load()
    assert [session.at.month for session in made.questions[0].conversation.sessions] == [3, 4]


def test_sets_are_found_by_what_they_are(data, tmp_path):
    (data / "longmemeval_s.json").write_text(json.dumps([longmemeval()]), "utf-8")
    (data / "package.json").write_text('{"qa": 1}', "utf-8")
    beam(data / "chats", "1", [batch(0, "March-15-2024"), batch(2, None)])
    assert [source.name for source in find(data)] == ["beam_chats", "longmemeval_s", "shared", "tiny"]
    assert [source.name for source in find(data, ["tiny", "shared"])] == ["tiny", "shared"]
    with pytest.raises(InputError, match="holds no data set"):
        find(tmp_path / "data" / "chats" / "1")
    (data / "longmemeval_s.json").write_text('[{"question_id": 1}]', "utf-8")
    with pytest.raises(InputError, match=r"longmemeval_s\.json cannot be read: KeyError"):
        find(data, ["longmemeval_s"])[0].load()


def test_a_file_that_is_no_data_set_says_so(tmp_path, capsys):
    own = tmp_path / "journal.jsonl"
    with convmem.Memory(tmp_path / "chat.db", embedder="none") as memory:
        memory.record([{"role": "user", "content": "hello"}], user="ana", session="s")
        own.write_text("\n".join(memory.export()), "utf-8")
    (tmp_path / "empty.json").touch()
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe[\x00")
    for name in ("journal.jsonl", "chat.db", "empty.json", "bytes.json"):
        assert main(["--data", str(tmp_path / name), "--embedder", "none"]) == 2
        assert f"{name} is no data set; known are LoCoMo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("questions", "conversations"),
    [
        ("nonsense", "{}"),
        ('{"a": 1}', None),
        ('"text"', '"text"'),
        (
            '{"qid": "q", "conv_id": "none", "question": "x?", "evidence_turns": ["t"]}',
            '{"conv_id": "c", "sessions": []}',
        ),
        (
            '{"qid": "q", "conv_id": "c", "question": "x?", "evidence_turns": []}',
            '{"conv_id": "c", "sessions": 5}',
        ),
        ("[" * 100_000, "{}"),
    ],
)
def test_a_folder_that_only_looks_like_a_data_set(tmp_path, capsys, questions, conversations):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "questions.jsonl").write_text(questions, "utf-8")
    if conversations is not None:
        (folder / "conversations.jsonl").write_text(conversations, "utf-8")
    assert main(["--data", str(folder), "--embedder", "none"]) == 2
    assert "mine cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_a_file_where_a_folder_is_made(data, tmp_path, capsys, option):
    (tmp_path / "taken").touch()
    assert main(["--data", str(data), "--embedder", "none", option, str(tmp_path / "taken")]) == 2
    assert f"{option} {tmp_path / 'taken'} is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1:56 pm on 8 May, 2023", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("March-15-2024", datetime(2024, 3, 15, tzinfo=UTC)),
        ("2025-12-15 (Monday)", datetime(2025, 12, 15, tzinfo=UTC)),
        ("2023/05/28 (Sun) 06:47", datetime(2023, 5, 28, 6, 47, tzinfo=UTC)),
        ("2024-02-03T04:05:06+00:00", datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (None, None),
    ],
)
def test_dates_as_data_sets_write_them(text, meant):
    assert parse_date(text) == meant
