"""Does recall find more than what it is compared with? What `convmem bench` asks, and this besides.

    python benchmarks/recall.py --data DIR --out results --cache vectors
    python benchmarks/recall.py --data locomo10.json --budget 512,1024 --baselines bm25,rrf --limit 200
    python benchmarks/recall.py --data DIR --sets mine --embedder none --ablation

docs/benchmark.md tells what is measured and how. Also draws SET.svg, recall against tokens.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from convmem.bench.command import Command, asked_for, words
from convmem.bench.report import note

from . import baselines, peers
from .asking import ComparingMeans
from .picture import draw
from .run import ComparingRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convmem.bench.asking import Means
    from convmem.bench.report import Report
    from convmem.bench.run import Run
    from convmem.embed import Embedder
    from convmem.policy import Policy

__all__ = ["ComparingCommand", "main"]

_ABOUT = __doc__ or ""  # here: within the class it would be the docstring of the class


def main(
    arguments: Sequence[str] | None = None, *, embedder: Embedder | None = None, program: str | None = None
) -> int:
    """Do what the command line says; see `convmem.bench.command.main`."""
    return ComparingCommand(program).main(arguments, embedder)


class ComparingCommand(Command):
    """The command line of `convmem bench`, with what it is compared with."""

    about = _ABOUT

    def check(self, options: argparse.Namespace, embedder: Embedder | None) -> None:
        """Say which peers are not installed, and what cannot be compared without vectors."""
        for name in options.peers:
            peers.maker(name)
        lost = [*baselines.DENSE.intersection(options.baselines), *options.peers]
        if embedder is None and lost:
            note(f"No embedder: {', '.join(sorted(lost))} cannot be compared with")

    def run(
        self, options: argparse.Namespace, means: Means, embedder: Embedder | None, settings: dict[str, Any]
    ) -> Run:
        """What asks the questions of all."""
        return ComparingRun(
            means=ComparingMeans(
                **vars(means),
                baselines=options.baselines,
                peers=options.peers if embedder is not None else (),
            ),
            embedder=embedder,
            settings=settings,
            ablation=options.ablation,
            rename=options.rename,
            shift_days=options.shift_days,
            **asked_for(options),
        )

    def write(self, report: Report, folder: Path) -> None:
        """Also draw the picture."""
        super().write(report, folder)
        if picture := _picture(report):
            (folder / f"{report.name}.svg").write_text(picture, encoding="utf-8")

    def told(self, options: argparse.Namespace, policy: Policy, embedder: Embedder | None) -> dict[str, Any]:
        """Also who is compared with."""
        others = {
            "baselines": options.baselines,
            "peers": {name: peers.releases(name) for name in options.peers},
        }
        return others | super().told(options, policy, embedder)

    def parser(self) -> argparse.ArgumentParser:
        """Also the options for comparing."""
        parser = super().parser()
        add = parser.add_argument
        names = ",".join(baselines.NAMES)
        add(
            "--baselines",
            type=_baselines,
            default=list(baselines.NAMES),
            help=f"of {names}, or none; all when left out",
        )
        add("--peers", type=_peers, default=[], help=f"other memories, if installed: {','.join(peers.NAMES)}")
        add("--ablation", action="store_true", help="also each step of the ranking off")
        add("--rename", action="store_true", help="also with all speakers renamed")
        add("--shift-days", type=int, default=0, metavar="N", help="also with all dates moved by N days")
        return parser


def _picture(report: Report) -> str:
    figures = report.figures
    lines = {
        system: [(found["tokens"], found["strict"]) for found in budgets.values()]
        for system, budgets in figures["contexts"].items()
    }
    embedder = report.settings["embedder"]
    below = f"{figures['questions']} questions, {figures['conversations']} conversations; embedder {embedder}"
    return draw(f"{report.name}: recall against tokens", below, lines)


def _baselines(text: str) -> list[str]:
    return _known(text, baselines.NAMES)


def _peers(text: str) -> list[str]:
    return _known(text, peers.NAMES)


def _known(text: str, known: Sequence[str]) -> list[str]:
    names = [] if text == "none" else words(text)
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names
