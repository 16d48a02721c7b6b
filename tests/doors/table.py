"""Print what the suite found, as a table of doors by version: `python -m tests.doors.table 1.xml 2.xml`."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.doors.doors import DOORS

KINDS = ("sync", "async", "azure", "async azure")


def results(path: Path) -> dict[tuple[str, str], bool]:
    """Whether every test of a door and a kind of client passed."""
    found: dict[tuple[str, str], bool] = {}
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 (our own test reports)
        _, _, ids = (case.get("name") or "").partition("[")
        named = [(d, k) for d in DOORS for k in KINDS if ids in {f"{k}-{d}]", f"{d}-{k}]"}]
        passed = all(child.tag not in {"failure", "error", "skipped"} for child in case)
        for key in named:
            found[key] = found.get(key, True) and passed
    return found


def main(paths: list[str]) -> int:
    """Print the table; 1 when something in it failed."""
    columns = {Path(path).stem: results(Path(path)) for path in paths}
    width, cell = max(map(len, DOORS)), len(" ".join(KINDS))
    rows = [["openai", *columns], ["", *(" ".join(KINDS) for _ in columns)]]
    rows += [[door, *(marks(found, door) for found in columns.values())] for door in DOORS]
    for first, *rest in rows:
        sys.stdout.write(f"{first:{width}}" + "".join(f"  {text:>{cell}}" for text in rest) + "\n")
    return int(any(False in found.values() for found in columns.values()))


def marks(found: dict[tuple[str, str], bool], door: str) -> str:
    """A cell of the table: a mark for each kind of client."""
    shown = {None: "–", True: "ok", False: "FAIL"}
    return " ".join(f"{shown[found.get((door, kind))]:>{len(kind)}}" for kind in KINDS)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
