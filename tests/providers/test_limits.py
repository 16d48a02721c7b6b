"""How many tokens a model takes."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from importlib import resources

import pytest

from convmem.providers.limits import context_limit

ROWS = tomllib.loads(
    resources.files("convmem.providers").joinpath("limits.toml").read_text(encoding="utf-8")
)["model"]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4.1", 1_047_576),
        ("gpt-4.1-mini-2025-04-14", 1_047_576),
        ("GPT-4o", 128_000),
        ("openai/gpt-4o", 128_000),
        ("accounts/fireworks/models/deepseek-v4-pro", 1_000_000),
        ("deepseek-flash", 1_000_000),
        ("deepseek-chat", 128_000),
        ("gpt-3.5-turbo", 16_385),
        ("mygpt-4o", None),
        ("gpt-4o/", None),
        ("m", None),
        ("", None),
        (None, None),
    ],
)
def test_the_first_pattern_that_fits_a_models_name_counts(model, tokens):
    assert context_limit(model) == tokens


@pytest.mark.parametrize("row", ROWS, ids=[row["match"] for row in ROWS])
def test_every_row_is_reached(row):
    """A pattern behind a wider one would never count."""
    name = row["match"].replace("*", "")
    assert set(row) == {"match", "context"}
    assert name == name.lower(), "names are compared in lower case"
    assert next(r for r in ROWS if fnmatchcase(name, r["match"])) is row
    assert context_limit(name.upper()) == row["context"] > 4_000
