"""What a model answers with memory, without it, and with everything, against scripted replies."""

from __future__ import annotations

import json

import pytest

from convmem.bench import answers, command
from convmem.testing import LocalProvider
from convmem.testing.provider import Fault, Reply

pytest.importorskip("openai")


def reads(request) -> Reply:
    """A model that can only read."""
    asked = request.messages[-1]["content"]
    if "named the new sailboat Quillfeather" in asked:
        return Reply("It is the Quillfeather.")
    return Reply("K-204。" if "K-204，记一下" in asked else "I do not know.")


@pytest.fixture
def provider():
    with LocalProvider() as running:
        running.default = reads
        yield running


def test_a_model_knows_with_memory_what_it_does_not_know_without(bench, provider, tmp_path, capsys):
    found = bench("--answer", provider.base_url, "--model", "reader")
    boat, member = found["boat"]["answers"], found["member"]["answers"]
    assert set(boat) == {"without", "memory @90", "memory @400", "full history"}
    assert boat["without"]["f1"] == 0
    assert boat["memory @90"]["text"] == "It is the Quillfeather."
    assert boat["memory @90"]["exact"] == 0
    assert boat["memory @90"]["f1"] == pytest.approx(2 / 4)
    assert (member["memory @400"]["exact"], member["full history"]["exact"]) == (1, 1)
    assert found["cellar"]["answers"] == {}, "the data has no answer to compare with"
    figures = json.loads((tmp_path / "out" / "tiny.json").read_text("utf-8"))["answers"]
    assert figures["without"]["exact"] == 0
    assert figures["memory @400"]["exact"] == pytest.approx(1 / 2)
    assert figures["without"]["prompt_tokens"] < figures["memory @90"]["prompt_tokens"]
    assert figures["memory @90"]["prompt_tokens"] < figures["full history"]["prompt_tokens"]
    assert "| memory @400 | 2 | .500 |" in capsys.readouterr().out
    chinese = [r for r in provider.requests if "会员号是多少" in r.messages[-1]["content"]]
    assert chinese[0].messages[0]["content"].startswith("用尽量少的字回答")


def test_a_resumed_run_asks_the_model_nothing_twice(bench, provider):
    bench("--answer", provider.base_url, "--model", "reader")
    asked = len(provider.requests)
    bench("--answer", provider.base_url, "--model", "reader")
    assert len(provider.requests) == asked


def test_what_the_model_refuses_counts_as_unanswered(bench, tmp_path):
    def short(request):
        if len(str(request.messages)) > 1_500:
            return Fault.status(400)
        return Reply("no")

    with LocalProvider() as provider:
        provider.default = short
        bench("--answer", provider.base_url, "--model", "small")
    figures = json.loads((tmp_path / "out" / "tiny.json").read_text("utf-8"))["answers"]
    assert figures["full history"]["refused"] == 2
    assert figures["without"]["refused"] == 0


def test_an_endpoint_that_is_not_there_stops_the_run_with_a_word(data, monkeypatch, capsys):
    given = ["--data", str(data / "tiny"), "--embedder", "none"]
    made = answers.Model.__init__

    def impatient(self, base_url, name):
        made(self, base_url, name)
        self._client = self._client.with_options(max_retries=0)

    monkeypatch.setattr(answers.Model, "__init__", impatient)
    assert command.main([*given, "--answer", "http://127.0.0.1:9/v1", "--model", "m"]) == 2
    assert "run it again to go on here" in capsys.readouterr().err
