"""Look into a built wheel: `python contents.py WHEEL`."""

import sys
from pathlib import Path
from zipfile import ZipFile

WANTED = {
    "convmem/__init__.py",
    "convmem/py.typed",
    "convmem/providers/limits.toml",
    "convmem/demo/conversation.jsonl",
    "convmem/testing/provider/server.py",
}

# What only those need who develop convmem: it lies in benchmarks/ and tests/.
UNWANTED = ("convmem/bench/peers/", "convmem/bench/baselines.py", "benchmarks/", "tests/")
LARGEST = 760_000
"""Bytes, a twelfth above today: more, and something came in that users may not run."""

with ZipFile(sys.argv[1]) as wheel:
    names = set(wheel.namelist())
missing = WANTED - names
assert not missing, f"the wheel lacks {sorted(missing)}"
assert not any(name.startswith(UNWANTED) for name in names), "the wheel holds what is not for users"
size = Path(sys.argv[1]).stat().st_size
assert size <= LARGEST, f"the wheel has {size:,} bytes; look at what made it grow"
assert any(name.endswith("/licenses/LICENSE") for name in names), "the wheel lacks the licence"
tops = {Path(name).parts[0] for name in names}
assert all(top == "convmem" or top.endswith(".dist-info") for top in tops), f"the wheel holds {sorted(tops)}"
assert not any(name.endswith((".pyc", ".db")) for name in names), "the wheel holds what was left over"
