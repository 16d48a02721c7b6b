"""Serve a local provider that echoes and calls tools: `python -m convmem.testing.provider`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING

from convmem.testing.provider import DIALECTS, LocalProvider, call_or_echo
from convmem.testing.provider.acting import thinking_aloud
from convmem.testing.provider.vendors import dialect_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.reply import Reply


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the base URL and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m convmem.testing.provider",
        description=(
            "A local OpenAI-compatible provider. It echoes the newest user message; one with the name of an "
            "offered tool in it, or a word of the name, calls the tool, and results of tools are echoed too."
        ),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument(
        "--dialect", choices=sorted(DIALECTS), help="whose rules; by default those of the model asked for"
    )
    parser.add_argument(
        "--context-limit", type=int, help="how many tokens a model takes; by default there is no limit"
    )
    parser.add_argument("--lenient", action="store_true", help="answer illegal requests too")
    options = parser.parse_args(arguments)
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    provider = LocalProvider(
        strict=not options.lenient,
        dialect=options.dialect,
        context_limit=options.context_limit,
        host=options.host,
        port=options.port,
    )

    def answer(request: ReceivedRequest) -> Reply:
        dialect = DIALECTS[options.dialect or dialect_of(request.fields.get("model"))]
        return thinking_aloud(call_or_echo(request), request, dialect)

    provider.default = answer
    with provider:
        sys.stdout.write(f"{provider.base_url}\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
