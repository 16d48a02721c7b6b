"""Does what was said come back? Gold turns inside the context that convmem puts in front of a question.

    convmem bench --data DIR --out results --cache vectors
    convmem bench --data locomo10.json --budget 512,1024 --baselines bm25,rrf --limit 200 --seed 1
    convmem bench --data DIR --sets mine --embedder none --ablation

DATA is a data set or a folder of data sets: LoCoMo, LongMemEval and BEAM as they are published, or your own
(docs/benchmark.md). Each conversation is recorded with `Memory.record` and each question goes through
`Memory.prepare`, so this measures what an app gets: ranking, packing, fence and date headers. A gold turn
counts when its whole text stands in what was added (strict), or by the share of its characters that does
(kept). Tokens are those of everything that was added, by o200k; more than the budget ends the run. No model
is asked anything, unless you name one.

A run that was stopped goes on where it was when it is given the same --out; what is embedded is kept in
--cache.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmem.bench import baselines, peers
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

    from convmem.embed import Embedder
    from convmem.policy import Policy

__all__ = ["main"]

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
    options = _parser(program).parse_args(arguments)
    try:
        _run(options, embedder)
    except ConvmemError as error:
        note(f"{program or Path(sys.argv[0]).name}: {error}")
        return _BAD_INPUT
    return 0


def _check_folder(option: str, folder: Path | None) -> None:
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"{option} {folder} is a file; name a folder, which is made when it is not there")


def _run(options: argparse.Namespace, embedder: Embedder | None) -> None:
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
    for name in options.peers:
        peers.maker(name)  # says what is missing before anything is done
    made = embedder if embedder is not None else resolve(options.embedder)
    if made is None and (lost := [*baselines.DENSE.intersection(options.baselines), *options.peers]):
        note(f"No embedder: {', '.join(sorted(lost))} cannot be compared with")
    cached = CachedOnDisk(made, options.cache) if made is not None else None
    model = Model(options.answer, options.model) if options.answer else None
    means = Means(
        budgets=budgets,
        baselines=options.baselines,
        peers=options.peers if made is not None else (),
        policy=policy,
        cached=cached,
        count=count,
        model=model,
    )
    run = Run(
        means=means,
        embedder=made,
        limit=options.limit,
        seed=options.seed,
        timed=options.timed,
        ablation=options.ablation,
        rename=options.rename,
        shift_days=options.shift_days,
        out=options.out,
        settings={**_told(options, policy, made), "budgets": budgets, "tokens": counted},
    )
    try:
        for source in sources:
            report = run.measure(source.load())
            if options.out is not None:
                write(report, options.out)
            print(markdown(report), flush=True)
    finally:
        if cached is not None:
            cached.close()
        if model is not None:
            model.close()


def _budgets(spec: str, policy: Policy) -> list[int]:
    """Without a word on budgets: what a policy that was asked for takes, else a range."""
    if spec != "full" and isinstance(policy, WindowPolicy) and policy.recall:
        return [policy.recall]
    return list(_BUDGETS)


def _told(options: argparse.Namespace, policy: Policy, embedder: Embedder | None) -> dict[str, Any]:
    return {
        "baselines": options.baselines,
        "peers": {name: peers.releases(name) for name in options.peers},
        "policy": repr(policy),
        "embedder": embedder.fingerprint if embedder is not None else "none",
        "limit": options.limit,
        "seed": options.seed,
        "model": f"{options.model} at {options.answer}" if options.answer else None,
        "versions": surroundings(),
    }


def _parser(program: str | None) -> argparse.ArgumentParser:
    what, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog=program,
        description=what,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a data set, or a folder of data sets")
    parser.add_argument("--sets", type=_words, default=[], help="of a folder of data sets, only these")
    parser.add_argument("--out", type=Path, help="where SET.jsonl, SET.md, SET.json and SET.svg are written")
    parser.add_argument("--cache", type=Path, help="where embeddings are kept between runs")
    parser.add_argument(
        "--budget", type=_numbers, help="tokens; 512,1024,2048,4096, or what --policy takes, when left out"
    )
    parser.add_argument("--policy", default="full", help="full, lean, balanced, thorough, or a TOML file")
    parser.add_argument(
        "--embedder", default="auto", help="auto, local, none, sentence-transformers:MODEL, or an entry point"
    )
    parser.add_argument(
        "--baselines",
        type=_baselines,
        default=list(baselines.NAMES),
        help=f"of {','.join(baselines.NAMES)}, or none; all when left out",
    )
    parser.add_argument(
        "--peers", type=_peers, default=[], help=f"other memories, if installed: {','.join(peers.NAMES)}"
    )
    parser.add_argument("--ablation", action="store_true", help="also each step of the ranking off")
    parser.add_argument("--rename", action="store_true", help="also with all speakers renamed")
    parser.add_argument(
        "--shift-days", type=int, default=0, metavar="N", help="also with all dates moved by N days"
    )
    parser.add_argument(
        "--answer", metavar="BASE_URL", help="also what --model at this endpoint answers; key: OPENAI_API_KEY"
    )
    parser.add_argument("--model", default="", help="the model that --answer asks")
    parser.add_argument("--limit", type=int, help="so many questions of each set, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of draws and of intervals")
    parser.add_argument("--timed", type=int, default=20, help="embed so many questions anew, to time it")
    return parser


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(word) for word in _words(text)})
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError("budgets are numbers of tokens above 0, such as 512,1024")
    return numbers


def _baselines(text: str) -> list[str]:
    return _known(text, baselines.NAMES)


def _peers(text: str) -> list[str]:
    return _known(text, peers.NAMES)


def _known(text: str, known: Sequence[str]) -> list[str]:
    names = [] if text == "none" else _words(text)
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names
