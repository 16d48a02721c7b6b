"""What the documents show is run: a file's Python blocks in order, in one namespace, offline.

A ```text block right after a Python block is what that prints; `...` stands for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import openai
import pytest

from convmem.testing import LocalProvider, Reply, echo

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n?^```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)

# What the documents' model answers; everything else it echoes.
SAID = {
    "I fly to Kyoto on 3 April.": "Have a good trip!",
    "When do I arrive?": "On 3 April.",
}


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


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_the_code_of_a_document_runs_and_prints_what_it_says(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
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
