"""The walk in docs/cli.md, taken: its sh blocks run in order, a text block behind one is what they print."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
BLOCK = re.compile(
    r"^```sh\n(?P<commands>.*?)^```\n(?:\n?^```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)


def test_the_walk_prints_what_it_says(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = DOCUMENT.read_text(encoding="utf-8")
    _, _, rows = page.partition("```json\n")
    Path("chat.jsonl").write_text(rows.partition("```")[0], "utf-8")
    blocks = list(BLOCK.finditer(page))
    assert blocks
    for block in blocks:
        printed = ""
        for line in block["commands"].splitlines():
            program, *args = shlex.split(line)
            assert program == "convmem"
            code, out, _ = run(*args)
            assert code == 0, line
            printed += out
        said = "\n".join(row.rstrip() for row in printed.splitlines()).strip() + "\n"
        fits = doctest.OutputChecker().check_output(block["printed"], said, doctest.ELLIPSIS)
        assert fits, f"it says:\n{block['printed']}\nbut it prints:\n{said}"
