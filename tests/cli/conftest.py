"""Running the command line in this process."""

from __future__ import annotations

import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

import convmem
from convmem.cli import main


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run it: exit code, standard output, standard error. No memory of the machine's is touched."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("CONVMEM_DB", "CONVMEM_USER"):
        monkeypatch.delenv(name, raising=False)
    # What is said must not depend on the machine's load.
    monkeypatch.setitem(convmem.Memory.__init__.__kwdefaults__, "deadline_ms", 30_000)

    def running(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return running


def lines(text):
    """What was said, without boxes and line breaks."""
    return " ".join(text.replace("│", " ").split())
