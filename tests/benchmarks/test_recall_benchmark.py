"""The benchmark in small: what counts, what does not, what a budget is, what is not done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.comparing import command

from convmem.bench import command as plain
from convmem.bench import replay
from convmem.cli import main as cli
from convmem.recall.cohort import SENTENCES
from convmem.testing.fakes import FakeEmbedder

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recall.py"


def report(out: Path):
    return json.loads((out / "tiny.json").read_text("utf-8"))


def test_what_is_found_counts_and_what_cannot_be_found_does_not(bench, tmp_path, capsys):
    found = bench()
    assert set(found) == {"boat", "member", "cellar", "running", "impossible", "none"}
    mine = {qid: row["found"]["convmem"] for qid, row in found.items()}
    for qid in ("boat", "member"):
        assert mine[qid]["90"]["strict"] == mine[qid]["400"]["strict"] == 1.0, qid
    assert mine["cellar"]["400"]["strict"] == 0.0
    assert 0.0 < mine["cellar"]["400"]["kept"] < 1.0
    assert mine["impossible"]["90"]["strict"] == 0.0
    assert found["running"]["gold"] == ["D1:0"], "what stands in the running session need not be recalled"
    assert found["none"]["gold"] == []
    printed = capsys.readouterr().out
    assert "| convmem |" in printed
    assert "| easy | 1 |" in printed
    assert "left out 1 placeholders; left out 1 without earlier evidence" in printed
    assert printed.strip() == (tmp_path / "out" / "tiny.md").read_text("utf-8").strip()


def test_users_measure_convmem_alone_and_find_the_same(bench, data, tmp_path, capsys):
    compared = bench()
    capsys.readouterr()
    options = ["--data", str(data), "--sets", "tiny", "--embedder", "none", "--timed", "0"]
    options += ["--budget", "90,400"]
    assert plain.main([*options, "--out", str(tmp_path / "plain")]) == 0
    lines = (tmp_path / "plain" / "tiny.jsonl").read_text("utf-8").splitlines()
    found = {row["qid"]: row for row in map(json.loads, lines)}
    mine = {
        (qid, "convmem", budget): value
        for (qid, system, budget), value in figures(compared).items()
        if system == "convmem"
    }
    assert figures(found) == mine
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {
        "tiny.jsonl",
        "tiny.run.json",
        "tiny.md",
        "tiny.json",
    }
    printed = capsys.readouterr().out
    assert "| convmem |" in printed
    assert "bm25" not in printed


def test_orders_are_kept_for_turns_and_sessions(bench, tmp_path):
    found = bench()
    assert found["boat"]["ranked"]["convmem"]["turns"][0] == "D2:2"
    assert found["boat"]["ranked"]["convmem"]["sessions"][0] == "s2"
    assert set(found["boat"]["ranked"]) == {"convmem", "bm25", "bm25-trim"}
    figures = report(tmp_path / "out")["orders"]
    assert figures["convmem"]["turns"]["recall@5"] >= 0.6
    assert set(figures["bm25"]["sessions"]) == {"recall@1", "recall@5", "recall@10", "ndcg@10"}


def test_margins_tell_questions_with_an_answer_from_those_without(bench, tmp_path):
    found = bench()
    answerable = [row["ranked"]["convmem"]["margin"] for qid, row in found.items() if qid != "none"]
    below = sum(m > found["none"]["ranked"]["convmem"]["margin"] for m in answerable)
    assert report(tmp_path / "out")["silence"]["auroc"]["convmem"] == pytest.approx(below / len(answerable))


def test_the_script_says_how_it_counted(data, tmp_path):
    if not SCRIPT.exists():
        pytest.skip("the benchmarks are not part of the sdist")
    options = ["--data", str(data / "tiny"), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    options += ["--embedder", "none", "--baselines", "last-n", "--budget", "200"]
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(SCRIPT), *options],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.strip() == (tmp_path / "tiny.md").read_text("utf-8").strip()
    exact = "tokens tiktoken o200k" in done.stdout
    assert exact or ("do not compare" in done.stdout and "NOTE: tokens are not counted" in done.stderr)


def test_every_system_keeps_to_the_budget_but_the_full_history(bench):
    found = bench(embedder=FakeEmbedder())
    for qid, row in found.items():
        rivals = {"bm25", "bm25-trim", "dense", "rrf", "last-n", "full", "oracle"} if qid != "none" else set()
        assert set(row["found"]) == {"convmem", *rivals}
        for system, outcomes in row["found"].items():
            for budget, outcome in outcomes.items():
                assert outcome["tokens"] <= int(budget) or (system == "full" and outcome["strict"] == 1.0)


def test_baselines_know_their_business(bench):
    found = bench(embedder=FakeEmbedder())
    for qid in ("boat", "member", "running", "impossible"):
        assert found[qid]["found"]["oracle"]["90"]["all"] == 1.0, qid
    trimmed = found["cellar"]["found"]["bm25-trim"]["400"]
    assert trimmed["strict"] == 0.0
    assert trimmed["kept"] > found["cellar"]["found"]["bm25"]["400"]["kept"] == 0.0
    assert found["boat"]["ranked"]["rrf"]["turns"][0] == "D2:2"


def test_a_context_over_the_budget_ends_the_run(bench, monkeypatch):
    monkeypatch.setattr(replay.Replay, "ask", lambda *_: replay.Context("word " * 200, set()))
    with pytest.raises(AssertionError, match="convmem took"):
        bench()


class Counting(FakeEmbedder):
    limit: int | None = None

    @property
    def asked(self):
        return sum(n for _, n in self.calls)

    def embed(self, texts, kind):
        if self.limit is not None and self.asked >= self.limit:
            raise KeyboardInterrupt
        return super().embed(texts, kind)


def figures(found):
    return {
        (qid, system, budget): (outcome["strict"], outcome["kept"], outcome["tokens"])
        for qid, row in found.items()
        for system, outcomes in row["found"].items()
        for budget, outcome in outcomes.items()
    }


def test_a_second_run_embeds_nothing_and_finds_the_same(bench, tmp_path):
    broken, rest, again = Counting(), Counting(), Counting()
    broken.limit = 16
    cache = ("--cache", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        bench(*cache, embedder=broken)
    first = bench(*cache, out=tmp_path / "1", embedder=rest)
    second = bench(*cache, out=tmp_path / "2", embedder=again)
    assert broken.asked == 16
    everyday = sum(map(len, SENTENCES))  # which each of the two conversations' memories judges questions by
    assert 0 < rest.asked < 48 + len(first) + 5 + 2 * everyday
    assert again.asked == 0
    assert figures(first) == figures(second)


def test_a_killed_run_goes_on_where_it_was(bench, tmp_path, monkeypatch, capsys):
    whole = bench(out=tmp_path / "whole")
    asked = replay.Replay.ask
    done: list[str] = []

    def counted(self, question, budget):
        if question.id not in done:
            done.append(question.id)
        if len(done) > 3:
            raise KeyboardInterrupt
        return asked(self, question, budget)

    monkeypatch.setattr(replay.Replay, "ask", counted)
    with pytest.raises(KeyboardInterrupt):
        bench()
    lines = tmp_path / "out" / "tiny.jsonl"
    written = lines.read_bytes()
    assert written.count(b"\n") == 3
    lines.write_bytes(written + b'{"qid": "half of a li')
    done = ["", "", ""]
    monkeypatch.setattr(replay.Replay, "ask", lambda *args: (done.append(args[1].id), asked(*args))[1])
    resumed = bench()
    assert set(done[3:]) == set(resumed) - {json.loads(line)["qid"] for line in written.splitlines()}
    assert figures(resumed) == figures(whole)
    assert "3 of 6 questions are there already" in capsys.readouterr().err


def test_other_settings_begin_anew_and_keep_the_old_lines_aside(bench, tmp_path, capsys):
    bench("--baselines", "bm25")
    before = (tmp_path / "out" / "tiny.jsonl").read_text("utf-8")
    found = bench("--baselines", "last-n")
    assert set(found["boat"]["found"]) == {"convmem", "last-n"}
    assert (tmp_path / "out" / "tiny.before.jsonl").read_text("utf-8") == before
    assert "begun anew, for the earlier run differs in baselines" in capsys.readouterr().err


def test_a_sample_is_drawn_by_its_seed(bench, tmp_path):
    first = bench("--limit", "3", "--seed", "5", out=tmp_path / "1")
    second = bench("--limit", "3", "--seed", "5", out=tmp_path / "2")
    assert list(first) == list(second)
    assert len(first) == 3


def test_the_result_says_where_it_was_made_and_how_long_embedding_took(bench, tmp_path):
    bench(embedder=FakeEmbedder(), timed=2)
    made = report(tmp_path / "out")
    assert made["latency"]["questions"] == 2
    assert made["contexts"]["convmem"]["400"]["ms_p50"] > 0
    assert made["latency"]["400"]["p50"] >= made["latency"]["embedding_p50"] > 0
    assert {"python", "cpu", "cores", "code"} <= set(made["settings"]["versions"])
    assert made["settings"]["seed"] == 0


def test_a_policy_says_the_budget_when_nobody_else_does(bench, data, tmp_path):
    bench()
    arguments = ["--data", str(data / "tiny"), "--embedder", "none", "--out", str(tmp_path / "lean")]
    assert command.main([*arguments, "--policy", "lean", "--baselines", "none"]) == 0
    assert report(tmp_path / "lean")["settings"]["budgets"] == [512]


def test_a_policy_that_cuts_the_running_session_adds_its_summary_beside_recall(bench, tmp_path):
    policy = tmp_path / "short.toml"
    policy.write_text('name = "short"\nhigh = 40\nlow = 12\nsummary = 90\nrecall = 90\n', "utf-8")
    found = bench("--policy", str(policy), "--baselines", "none")
    whole = bench("--baselines", "none", out=tmp_path / "whole")
    assert found["running"]["found"]["convmem"]["90"]["tokens"] > 90, "recall and a summary of what was cut"
    assert whole["running"]["found"]["convmem"]["90"]["tokens"] <= 90
    assert found["boat"]["found"]["convmem"]["90"]["all"] == 1


def test_the_command_line_hands_everything_on(data, capsys):
    pytest.importorskip("typer")
    with pytest.raises(SystemExit) as helped:
        cli(["bench", "--help"])
    assert helped.value.code == 0
    assert "--timed TIMED" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli(["bench", "--data", str(data), "--budget", "0"])
    assert "above 0" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refused:
        cli(["bench", "--data", str(data), "--sets", "other"])
    assert refused.value.code == 2
    assert "convmem bench: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--data", "nowhere"], "There is no nowhere"),
        (["--sets", "other"], "no data set called other; it has shared, tiny"),
        (["--policy", "leen"], "Did you mean 'lean'"),
        (["--answer", "http://127.0.0.1:9/v1"], "--model NAME"),
    ],
)
def test_what_cannot_be_done_is_said(data, capsys, options, complaint):
    given = ["--data", str(data), "--embedder", "none", *options]
    assert command.main(given, program="convmem bench") == 2
    assert complaint in capsys.readouterr().err
