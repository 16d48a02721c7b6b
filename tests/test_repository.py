"""The repository's own promises: the commands it names, its links, its version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import convmem

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^make test\b", readme, re.MULTILINE)
    assert re.search(r"^make demo\b", readme, re.MULTILINE)
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_every_command_and_link_of_a_document_is_there(document):
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named <= targets
    for link in re.findall(r"\]\(([^)]+)\)", text):
        path, _, heading = link.partition("#")
        if "://" in path:
            continue
        target = document.parent / path if path else document
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}, link


def test_the_changelog_knows_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?({re.escape(convmem.__version__)}\b|Unreleased)", changelog, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_every_file_and_folder_that_a_document_names_is_there(document):
    """By the end of its path; the changelog may tell of files that are gone."""
    if document.name == "CHANGELOG.md":
        return
    shown = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`((?:[a-z_-]+/)*[a-z_]+\.(?:py|toml)|(?:[a-z_]+/)+)`", shown))
    own = {"app.py", "pricing.toml", "test_mine.py", "utils.py"}  # the reader's, or not to be
    folders = [ROOT / name for name in ("src", "tests", "docs", "examples", "benchmarks")]
    there = [ROOT / "pyproject.toml", ROOT / "zensical.toml", *folders]
    there += [path for folder in folders for path in folder.rglob("*")]
    ends = "".join(f"/{path.relative_to(ROOT).as_posix()}\n" for path in there)
    assert [name for name in sorted(named - own) if f"/{name.rstrip('/')}\n" not in ends] == []
