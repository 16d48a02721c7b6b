"""Data sets on disk, in whatever of the known formats they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.bench.datasets import beam, layout, locomo, longmemeval
from convmem.bench.datasets.build import build
from convmem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from convmem.bench.datasets.model import DataSet, Rows

__all__ = ["Source", "find"]

_HEAD = 4_096
_FORMATS = "LoCoMo or LongMemEval files (.json), folders of BEAM, folders with questions.jsonl"

_OWN = "Your own memory is measured by questions and the turns that answer them: see docs/benchmark.md"

_NOT_AS_IT_LOOKED = (OSError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading raises of files that are named and begin as those of a data set, and hold something else."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that can be read."""

    name: str
    path: Path
    read: Callable[[Path], Rows]

    def load(self) -> DataSet:
        """Read it.

        Raises:
            InputError: it is not what it looked like.
        """
        try:
            return build(self.name, self.read(self.path))
        except InputError:
            raise
        except _NOT_AS_IT_LOOKED as error:
            raise InputError(f"{self.path} cannot be read: {type(error).__name__}: {error}") from error


def find(path: Path, names: Sequence[str] = ()) -> list[Source]:
    """The set that the path is, else the sets in it; of these only those named.

    Raises:
        InputError: there is none, or not one of that name.
    """
    if not path.exists():
        raise InputError(f"There is no {path}")
    if (alone := _source(path)) is not None:
        return [alone]
    if not path.is_dir():
        raise InputError(f"{path} is no data set; known are {_FORMATS}. {_OWN}")
    found = {source.name: source for place in sorted(path.iterdir()) if (source := _source(place))}
    if not found:
        raise InputError(f"{path} holds no data set; known are {_FORMATS}")
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path} has no data set called {', '.join(missing)}; it has {', '.join(found)}")
    return [found[name] for name in names or found]


def _source(path: Path) -> Source | None:
    """The set, if the path is one."""
    if path.is_dir():
        if layout.is_layout(path):
            return Source(path.resolve().name, path, layout.read)
        return Source(beam.name_of(path), path, beam.read) if beam.is_beam(path) else None
    if path.suffix != ".json":
        return None
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.read(_HEAD)
    if not head.lstrip().startswith("["):
        return None
    if longmemeval.is_longmemeval(head):
        return Source(path.stem, path, longmemeval.read)
    return Source(path.stem, path, locomo.read) if locomo.is_locomo(head) else None
