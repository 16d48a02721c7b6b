"""Is what convmem acknowledged still there, after whatever happens to the process, the disk and the file?

Each command prints what it did and saw, and ends with 1 when something was lost, doubled or broken:

    python benchmarks/durability.py kill --runs 100 --seed 1
    python benchmarks/durability.py processes --processes 8 --calls 200
    python benchmarks/durability.py alternate --rounds 100
    python benchmarks/durability.py disk-full
    python benchmarks/durability.py slow-disk
    python benchmarks/durability.py journal --calls 500 --durability full
    python benchmarks/durability.py exit
    python benchmarks/durability.py fork
    python benchmarks/durability.py migrate --runs 200
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from durable import disk, ends, journaling, kill, migration, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CHILDREN: dict[str, Callable[..., None]] = {
    "kill": kill.kill_child,
    "processes": processes.processes_child,
    "alternate": processes.alternate_child,
    "disk_full": disk.disk_full_child,
    "exit": ends.exit_child,
    "fork": ends.fork_child,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when all was well."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    if command == "child":
        logging.getLogger("convmem").addHandler(logging.NullHandler())
        _CHILDREN[options["work"]](**json.loads(options["arguments"]))
        return 0
    act: Callable[..., bool] = options.pop("act")
    given: Path | None = options.pop("folder")
    with tempfile.TemporaryDirectory(prefix="convmem-durability-", dir=given) as folder:
        return 0 if act(folder=Path(folder), **options) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Is what convmem acknowledged still there?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, act: Callable[..., bool], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--folder", type=Path, help="where the databases are made, and removed again")
        command.set_defaults(act=act)
        return command

    command = add("kill", kill.kill, "kill a process at random moments")
    command.add_argument("--runs", type=int, default=100)
    command.add_argument("--seed", type=int, default=1)
    command = add("processes", processes.processes, "several processes on one file")
    command.add_argument("--processes", type=int, default=8)
    command.add_argument("--calls", type=int, default=200, help="calls of each process")
    command = add("alternate", processes.alternate, "two processes take turns in one session")
    command.add_argument("--rounds", type=int, default=100, help="calls of both together")
    add("disk-full", disk.disk_full, "no room on the disk, then room again")
    command = add("slow-disk", disk.slow_disk, "writes that take seconds")
    command.add_argument("--delay-s", type=float, default=2.0)
    command = add("journal", journaling.journal, "the cost of the journal beside a bare INSERT")
    command.add_argument("--calls", type=int, default=500)
    command.add_argument("--turns", type=int, nargs="+", default=[10, 100, 1_000], help="lengths of history")
    command.add_argument("--durability", choices=("normal", "full"), default="normal")
    command.add_argument("--embedder", default="none", help="as Memory takes it; it works at the same time")
    command.add_argument("--busy", action="store_true", help="do not wait for background work between calls")
    command = add("exit", ends.exit_, "the interpreter ends in the middle of calls")
    command.add_argument(
        "--within-s", type=float, default=3.5, help="2 s of waiting, and the interpreter's own end"
    )
    command = add("fork", ends.fork, "fork with an open Memory")
    command.add_argument("--forks", type=int, default=4)
    command.add_argument("--calls", type=int, default=20, help="calls of each process")
    command = add("migrate", migration.migrate, "kill a process while it brings an older file up to date")
    command.add_argument("--runs", type=int, default=200, help="half on a small file, half on a bigger one")
    command.add_argument("--turns", type=int, default=20_000, help="of the bigger file")
    command.add_argument("--seed", type=int, default=1)
    child = commands.add_parser("child")
    child.add_argument("work", choices=_CHILDREN)
    child.add_argument("arguments")
    return parser


if __name__ == "__main__":
    sys.exit(main())
