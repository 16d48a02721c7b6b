"""`convmem bench`: how much of what was said comes back, on data sets or on conversations of one's own."""

from __future__ import annotations

import typer

__all__ = ["bench"]


def bench(context: typer.Context) -> None:
    """Measure recall on LoCoMo, LongMemEval, BEAM, or conversations of your own; --help has the options."""
    from convmem.bench.command import main  # noqa: PLC0415 (numpy, and what else only measuring needs)

    raise typer.Exit(main(context.args, program="convmem bench"))
