"""The small benchmarks still run, and tell what they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def table(script, *given):
    """The rows of a benchmark's table, by their first cell."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, BENCHMARKS / script, *given], capture_output=True, text=True, check=True
    )
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    return {name: cells for name, *cells in rows}


def test_the_prefix_is_kept_where_the_block_stands_at_the_end():
    rows = table("prefix.py", "--turns", "10", "--policy", "lean", "--embedder", "none")
    repeated = {
        name: float(cells[1]) for name, cells in rows.items() if len(cells) > 1 and cells[1][:1] in "01"
    }
    assert repeated["convmem, lean"] > repeated["… its blocks in the system text"] + 0.2
    assert repeated["all history, no memory"] > 0.7


def test_the_speed_of_queries_is_told_beside_that_of_plain_fusion():
    rows = table("speed.py", "--turns", "300", "--queries", "5")
    ours, plain = rows["convmem, 2000 tokens packed"], rows["plain RRF over the same arrays"]
    assert all(float(ms) > 0 for ms in (*ours, *plain))


def test_what_a_huge_message_costs_is_told_beside_the_bare_client():
    done = subprocess.run(  # noqa: S603
        [sys.executable, BENCHMARKS / "huge.py", "--mb", "0.3", "--turns", "1", "--text", "chinese"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("0.3 MB")]
    assert [row[1] for row in rows][:2] == ["chat", "next, newest only"]
    assert {row[1] for row in rows} >= {"streamed", "responses", "tool result", "huge reply", "record()"}
    assert all(float(row[3]) > 0 for row in rows)


def test_the_picture_of_the_policies_shows_what_they_plan(tmp_path):
    drawn = tmp_path / "drawn.svg"
    subprocess.run([sys.executable, BENCHMARKS / "policies.py", drawn], capture_output=True, check=True)  # noqa: S603
    assert drawn.read_bytes() == (BENCHMARKS.parent / "docs" / "policies.svg").read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("store", ["sqlite", "memory"])
def test_children_of_a_busy_process_answer(store):
    done = subprocess.run(  # noqa: S603
        [sys.executable, BENCHMARKS / "forks.py", "--forks", "4", "--store", store],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 answered" in done.stdout


def test_what_a_neighbour_waits_is_told_alone_and_beside_busy_others():
    small = ("--turns", "300", "--megabytes", "1", "--calls", "3", "--rounds", "1", "--most", "1000")
    done = subprocess.run(  # noqa: S603
        [sys.executable, BENCHMARKS / "neighbours.py", *small], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {name: cells for name, *cells in (line.split(" | ") for line in done.stdout.splitlines())}
    assert int(rows["alone"][0]) == 3
    assert int(rows["beside the others"][0]) > 0
    assert "ratio of the slow ends: " in done.stdout
