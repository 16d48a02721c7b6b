"""A long run says how far it is."""

from __future__ import annotations

import io
import sys

from convmem.bench import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_that_fills(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_BAR_EVERY_S", 0.0)
    with progress.Progress("tiny", 4, "questions") as bar:
        for _ in range(4):
            bar.add()
    shown = terminal.getvalue().split("\r")[1:]
    assert len(shown) == 4
    filled = [text.count("█") for text in shown]
    assert filled == sorted(filled)
    assert "2/4 questions" in shown[1]
    assert "·" not in shown[-1]
    assert terminal.getvalue().endswith("\n")


def test_a_log_gets_a_line_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with progress.Progress("tiny", 6, "questions") as bar:
        for _ in range(6):
            bar.add()
    assert capsys.readouterr().err.splitlines() == [
        "tiny: 2/6 questions, 1.3 min left",
        "tiny: 4/6 questions, 0.7 min left",
    ]
