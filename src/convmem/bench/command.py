"""Does what was said come back? Gold turns inside the context that convmem puts in front of a question.

    convmem bench --data DIR --out results --cache vectors
    convmem bench --data locomo10.json --budget 512,1024 --limit 200 --seed 1
    convmem bench --data DIR --sets mine --embedder none

DATA is a data set or a folder of data sets: LoCoMo, LongMemEval and BEAM as they are published, or your own
(docs/benchmark.md). Each conversation is recorded with `Memory.record` and each question goes through
`Memory.prepare`, so this measures what an app gets: ranking, packing, fence and date headers. A gold turn
counts when its whole text stands in what was added (strict), or by the share of its characters that does
(kept). Tokens are those of everything that was added, by o200k; more than the budget ends the run. No model
is asked anything, unless you name one.

A run that was stopped goes on where it was when it is given the same --out; what is embedded is kept in
--cache. What it is compared with (baselines, other memories, each step of the ranking off, other names and
years) is in the repository: `python benchmarks/recall.py --help`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmem.bench.answers import Model
from convmem.bench.asking import Means
from convmem.bench.counting import counter
from convmem.bench.datasets import find
from convmem.bench.machine import surroundings
from convmem.bench.report import markdown, note, write
from convmem.bench.run import Run
from convmem.bench.vectors import CachedOnDisk
from convmem.embed.resolve import resolve
from convmem.errors import ConvmemError, InputError
from convmem.policy import WindowPolicy, resolve_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.bench.report import Report
    from convmem.embed import Embedder
    from convmem.policy import Policy

__all__ = ["Command", "asked_for", "main", "words"]

_ABOUT = __doc__ or ""  # here: within the class it would be the docstring of the class
_BUDGETS = (512, 1_024, 2_048, 4_096)
_BAD_INPUT = 2


def main(
    arguments: Sequence[str] | None = None, *, embedder: Embedder | None = None, program: str | None = None
) -> int:
    """Do what the command line says; 0 when all is well, 2 for input that cannot be used.

    Args:
        arguments: the command line; the process's own when left out.
        embedder: stands in for the one named there.
        program: what the command is called.
    """
    return Command(program).main(arguments, embedder)


class Command:
    """The benchmark's command line; one that compares with more overrides what it adds.

    Args:
        program: what the command is called.
    """

    about = _ABOUT

    def __init__(self, program: str | None = None) -> None:
        self.program = program

    def main(self, arguments: Sequence[str] | None, embedder: Embedder | None) -> int:
        """Do what the command line says; 0 when all is well, 2 for input that cannot be used."""
        options = self.parser().parse_args(arguments)
        try:
            self._run(options, embedder)
        except ConvmemError as error:
            note(f"{self.program or Path(sys.argv[0]).name}: {error}")
            return _BAD_INPUT
        return 0

    def _run(self, options: argparse.Namespace, embedder: Embedder | None) -> None:
        sources = find(options.data, options.sets)
        _check_folder("--out", options.out)
        _check_folder("--cache", options.cache)
        with tempfile.TemporaryDirectory(prefix="convmem-bench-") as scratch:
            tables = options.cache or Path(scratch)
            count, counted = counter(tables / "tiktoken")
        if counted.startswith("estimate"):
            note(f"NOTE: tokens are not counted but {counted}")
        if options.answer and not options.model:
            raise InputError("say which model is to answer: --model NAME")
        policy = resolve_policy(options.policy)
        budgets = options.budget or _budgets(options.policy, policy)
        made = embedder if embedder is not None else resolve(options.embedder)
        self.check(options, made)
        means = Means(
            budgets=budgets,
            policy=policy,
            cached=CachedOnDisk(made, options.cache) if made is not None else None,
            count=count,
            model=Model(options.answer, options.model) if options.answer else None,
        )
        settings = {**self.told(options, policy, made), "budgets": budgets, "tokens": counted}
        run = self.run(options, means, made, settings)
        try:
            for source in sources:
                report = run.measure(source.load())
                if options.out is not None:
                    self.write(report, options.out)
                print(markdown(report), flush=True)
        finally:
            if means.cached is not None:
                means.cached.close()
            if means.model is not None:
                means.model.close()

    def check(self, options: argparse.Namespace, embedder: Embedder | None) -> None:
        """Refuse what cannot be done, before anything is done: nothing here."""

    def run(
        self,
        options: argparse.Namespace,
        means: Means,
        embedder: Embedder | None,
        settings: dict[str, Any],
    ) -> Run:
        """The run that asks the questions."""
        return Run(means=means, embedder=embedder, settings=settings, **asked_for(options))

    def write(self, report: Report, folder: Path) -> None:
        """Write the files of a set."""
        write(report, folder)

    def told(self, options: argparse.Namespace, policy: Policy, embedder: Embedder | None) -> dict[str, Any]:
        """What the report says of the run; a run with other values begins anew."""
        return {
            "policy": repr(policy),
            "embedder": embedder.fingerprint if embedder is not None else "none",
            "limit": options.limit,
            "seed": options.seed,
            "model": f"{options.model} at {options.answer}" if options.answer else None,
            "versions": surroundings(),
        }

    def parser(self) -> argparse.ArgumentParser:
        """The options."""
        what, _, rest = self.about.partition("\n\n")
        parser = argparse.ArgumentParser(
            prog=self.program,
            description=what,
            epilog=rest,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add = parser.add_argument
        add("--data", type=Path, required=True, help="a data set, or a folder of data sets")
        add("--sets", type=words, default=[], help="of a folder of data sets, only these")
        add("--out", type=Path, help="where SET.jsonl, SET.md and SET.json are written")
        add("--cache", type=Path, help="where embeddings are kept between runs")
        add(
            "--budget",
            type=_numbers,
            help="tokens; 512,1024,2048,4096, or what --policy takes, when left out",
        )
        add("--policy", default="full", help="full, lean, balanced, thorough, or a TOML file")
        add(
            "--embedder",
            default="auto",
            help="auto, local, none, sentence-transformers:MODEL, or an entry point",
        )
        add(
            "--answer",
            metavar="BASE_URL",
            help="also what --model at this endpoint answers; key: OPENAI_API_KEY",
        )
        add("--model", default="", help="the model that --answer asks")
        add("--limit", type=int, help="so many questions of each set, drawn by the seed")
        add("--seed", type=int, default=0, help="of draws and of intervals")
        add("--timed", type=int, default=20, help="embed so many questions anew, to time it")
        return parser


def asked_for(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a run is made with."""
    return {name: getattr(options, name) for name in ("limit", "seed", "timed", "out")}


def _check_folder(option: str, folder: Path | None) -> None:
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"{option} {folder} is a file; name a folder, which is made when it is not there")


def _budgets(spec: str, policy: Policy) -> list[int]:
    """Without a word on budgets: what a policy that was asked for takes, else a range."""
    if spec != "full" and isinstance(policy, WindowPolicy) and policy.recall:
        return [policy.recall]
    return list(_BUDGETS)


def words(text: str) -> list[str]:
    """The parts of a text with commas between them."""
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(word) for word in words(text)})
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError("budgets are numbers of tokens above 0, such as 512,1024")
    return numbers
