"""The command line: one module per command, thin over the public API.

This module imports nothing that needs an extra, so that it can say what is missing.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["main"]

_NEEDS = frozenset({"typer", "rich"})
_INSTALL = "pip install rich typer (the extra `cli` of convmem)"
_TROUBLE = 1
_BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 all is well, 1 trouble, 2 input that cannot be used, 130 interrupted.

    Args:
        argv: the arguments; those of the process when left out.
    """
    try:
        from convmem.cli.app import app  # noqa: PLC0415 (needs the extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDS:
            raise
        sys.exit(_said(f"the command line needs the package {error.name}: {_INSTALL}", _BAD_INPUT))
    from convmem.errors import ConvmemError, InputError, MissingExtraError  # noqa: PLC0415 (after the cheap way out)

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? rather than nothing
    try:
        app(args=None if argv is None else list(argv), prog_name="convmem")
    except (InputError, MissingExtraError) as error:
        sys.exit(_said(str(error), _BAD_INPUT))
    except ConvmemError as error:
        sys.exit(_said(str(error), _TROUBLE))
    sys.exit(0)


def _said(trouble: str, code: int) -> int:
    # An error may quote what a file or a provider said; that must not steer the terminal.
    said = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in trouble)
    print(f"convmem: {said}", file=sys.stderr)  # noqa: T201 (rich may be what is missing)
    return code
