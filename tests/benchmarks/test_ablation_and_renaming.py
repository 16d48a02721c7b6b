"""Every step can be switched off, and nothing hangs on names and years."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from typing import cast

import pytest
from benchmarks.comparing import ablation
from benchmarks.comparing.renaming import changed

from convmem.bench.datasets import find
from convmem.recall import Settings
from convmem.testing.fakes import FakeEmbedder


def test_every_weight_has_a_variant_or_a_reason_to_have_none():
    shipped = Settings()
    made = ablation.variants()
    assert made[ablation.AS_SHIPPED] == shipped
    for field in dataclasses.fields(Settings):
        value = getattr(shipped, field.name)
        if field.name in ablation.PARAMETERS:
            assert f"no {field.name}" not in made
        elif isinstance(value, int | float) and value:
            assert getattr(made[f"no {field.name}"], field.name) == 0, field.name
    assert {field.name for field in dataclasses.fields(Settings)} >= ablation.PARAMETERS
    assert made["no neighbours"].previous == made["no neighbours"].second_next == 0
    assert made["no vectors"].lexical == 1


def test_a_new_switch_needs_no_word_here():
    @dataclasses.dataclass(frozen=True)
    class More(Settings):
        thorough: bool = True
        label: str = "x"
        idle: float = 0.0

    made = ablation.variants(More())
    assert cast("More", made["no thorough"]).thorough is False
    assert not {"no label", "no idle"} & set(made)


@pytest.mark.slow
def test_the_ablation_asks_with_each_step_off(bench, tmp_path):
    bench("--ablation", embedder=FakeEmbedder())
    made = json.loads((tmp_path / "out" / "tiny.json").read_text("utf-8"))["ablation"]
    assert list(made) == list(ablation.variants())
    for name, found in made.items():
        assert all(math.isfinite(figure["strict"]) for figure in found.values()), name
    shipped = made[ablation.AS_SHIPPED]["400"]
    assert shipped["change"] == 0
    assert "| no lexical |" in (tmp_path / "out" / "tiny.md").read_text("utf-8")


def test_settings_take_effect_from_one_variant_to_the_next(bench, tmp_path, monkeypatch):
    nothing = Settings(shortest=10_000)
    made = {"as shipped": Settings(), "nothing": nothing, "as shipped again": Settings()}
    monkeypatch.setattr(ablation, "variants", lambda: made)
    found = bench("--ablation")
    kept = (tmp_path / "out" / "tiny.ablation.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, kept):
        strict = {name: outcomes["400"]["strict"] for name, outcomes in row["found"].items()}
        if row["answerable"]:
            expected = found[row["qid"]]["found"]["convmem"]["400"]["strict"]
            assert strict == {"as shipped": expected, "nothing": 0.0, "as shipped again": expected}


def test_other_names_and_years_stand_everywhere(data):
    original = find(data, ["tiny"])[0].load()
    made = changed(original, rename=True, days=365)
    before = {question.id: question for question in original.questions}
    boat = next(question for question in made.questions if question.id == "boat")
    speakers = {turn.speaker for turn in boat.conversation.turns}
    assert len(speakers) == 2
    assert not speakers & {"Odile", "Tamsin"}
    assert boat.text == before["boat"].text.replace("Odile", boat_speaker(boat))
    assert boat.conversation.sessions[0].at == datetime(2024, 5, 1, 13, 51, tzinfo=UTC)
    assert boat.now.year == before["boat"].now.year + 1
    assert boat.gold == before["boat"].gold
    leap = changed(original, rename=False, days=366).questions[0].conversation.sessions[0].at
    assert leap == datetime(2024, 5, 2, 13, 51, tzinfo=UTC)


def boat_speaker(question):
    first = next(iter(question.conversation.turns))
    return first.speaker


def test_renaming_prints_what_it_changed(bench, tmp_path, capsys):
    bench("--rename", "--shift-days", "365")
    made = json.loads((tmp_path / "out" / "tiny.json").read_text("utf-8"))["renaming"]
    assert made["same"] is True
    assert made["budgets"]["400"]["change"] == 0
    assert "other names, +365 days: no figure moves by more than .01." in capsys.readouterr().out
