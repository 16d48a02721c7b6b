"""What must work with the wheel alone: run by a Python that has no extra installed."""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import convmem

assert "site-packages" in convmem.__file__, convmem.__file__
assert importlib.util.find_spec("openai") is None, "this is to run without the extras"
heavy = {"numpy", "faiss", "sqlite_utils", "tiktoken"} & set(sys.modules)
assert not heavy, f"importing convmem loads {heavy}"

round_ = [{"role": "user", "content": "我住在泉州"}, {"role": "assistant", "content": "好的"}]
with tempfile.TemporaryDirectory() as folder:
    with convmem.Memory(Path(folder) / "chat.db") as memory:
        ids = memory.record(round_, user="alice", session="s")
        assert [turn.id for turn in memory.turns(user="alice", session="s")] == ids
        lines = list(memory.export())
        assert json.loads(lines[1])["message"] == round_[0]
        refused = ""
        try:
            memory.wrap(object())
        except convmem.WrapError as error:
            refused = str(error)
        assert "openai.OpenAI" in refused, "an object that is no client was wrapped"
    with convmem.Memory(":memory:") as other:
        assert other.import_(lines) == len(ids)

from convmem.testing import LocalProvider  # noqa: E402 (it needs no extra either)

with LocalProvider() as provider:
    assert provider.base_url.startswith("http://127.0.0.1:")
