"""What the documents show is run: a file's Python blocks in order, in one namespace, offline.

A ```text block right after a Python block is what that prints; `...` stands for anything. The test classes
that a document shows are run by pytest.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import openai
import pytest

import convmem
from convmem.embed.local import local as local_embedder
from convmem.testing import LocalProvider, Reply, echo

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
WITH_TESTS = [path for path in DOCUMENTS if re.search("^class Test", path.read_text("utf-8"), re.MULTILINE)]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n?^```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)

# What the documents' model answers; everything else it echoes.
SAID = {
    "I fly to Kyoto on 3 April.": "Have a good trip!",
    "When do I arrive?": "On 3 April.",
    "我四月三号飞京都。": "一路顺风！",
    "我哪天到？": "四月三号。",
}


def name_of(document):
    return document.relative_to(ROOT).as_posix()


@pytest.fixture
def clients(monkeypatch):
    """Every client that is made, closed in the end: documents do not show that."""
    made = []
    init = openai.OpenAI.__init__

    def noted(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(openai.OpenAI, "__init__", noted)
    yield made
    for client in made:
        client.close()


def answer(request):
    text = request.newest_user_text
    return Reply(SAID[text]) if text in SAID else echo(request)


class Remembering:
    """An embedder that is asked once for each text."""

    def __init__(self, embedder):
        self._embedder = embedder
        self._known = {}
        self.dim, self.fingerprint = embedder.dim, embedder.fingerprint

    def embed(self, texts, kind):
        new = [text for text in dict.fromkeys(texts) if (text, kind) not in self._known]
        for text, vector in zip(new, self._embedder.embed(new, kind), strict=True):
            self._known[text, kind] = vector
        return np.array([self._known[text, kind] for text in texts]).reshape(len(texts), self.dim)


@pytest.fixture(scope="module")
def local():
    """The embedder of this machine; what several documents say is embedded once."""
    try:
        embedder = Remembering(local_embedder())
    except convmem.MissingExtraError:
        return local_embedder
    return lambda: embedder


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_code_of_a_document_runs_and_prints_what_it_says(document, local, tmp_path, monkeypatch):
    monkeypatch.setattr("convmem.embed.local.local", local)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    # What a document says holds on a machine that is not late.
    monkeypatch.setitem(convmem.Memory.__init__.__kwdefaults__, "deadline_ms", 60_000)
    namespace = {"__name__": "__main__"}
    text = document.read_text(encoding="utf-8")
    with LocalProvider() as provider:
        provider.default = answer
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        for block in BLOCK.finditer(text):
            before = "\n" * text.count("\n", 0, block.start("code"))  # so that errors name the line
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(before + block["code"], document, "exec"), namespace)  # noqa: S102 (our own words)
            if block["printed"] is not None:
                expected, said = block["printed"], printed.getvalue()
                fits = doctest.OutputChecker().check_output(expected, said, doctest.ELLIPSIS)
                assert fits, f"{document.name} says:\n{expected}\nbut it prints:\n{said}"


@pytest.mark.slow
@pytest.mark.parametrize("document", WITH_TESTS, ids=name_of)
def test_the_tests_that_a_document_shows_pass(document, tmp_path):
    code = "\n".join(block["code"] for block in BLOCK.finditer(document.read_text(encoding="utf-8")))
    (tmp_path / "test_mine.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "test_mine.py",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stdout + ran.stderr  # 5 when there was no test
    assert "skipped" not in ran.stdout


def test_every_page_stands_in_the_sites_navigation():
    def pages(entries):
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else pages(value)

    navigation = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(pages(navigation)) == sorted(written), "`nav` in zensical.toml names each page once"
