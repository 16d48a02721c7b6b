"""What every embedder has to keep, as tests to inherit.

```python
class TestMine(EmbedderConformance):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return MyEmbedder()
```
"""

from __future__ import annotations

import os
import select
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np

from convmem.embed.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from convmem.embed.protocol import Embedder

__all__ = ["EmbedderConformance"]

_PLAIN: tuple[str, ...] = (
    "Where did we say we would stay in Kyoto?",
    "上次我们说好住在京都的哪家酒店？",
    "The train leaves at 7:42 from platform 3.",
    "好的",
    "def area(r): return 3.14159 * r ** 2",
    "ich hätte gern zwei Fahrkarten nach Köln, bitte, und eine Platzreservierung am Fenster",
)

_ODD: dict[str, str] = {
    "empty": "",
    "space": " ",
    "whitespace": " \n\t\r\u3000\u00a0 ",
    "nul": "\0",
    "nul inside": "tea\0and cake",
    "control": "\x01\x02\x1b[31m\x7f",
    "high surrogate": "\ud83d",
    "low surrogate": "before \udc00 after",
    "surrogate pair in halves": "smile \ud83d\ude00",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🙂",
    "chinese": "今天的会议改到下午三点半，地点不变。",
    "mixed": "我用 Python 写了一个 API，дела идут 좋아요 さくら ✨",
    "right to left": "مرحبا بالعالم שלום עולם",
    "expanding": "\ufdfa" * 3000,
    "combining": "e" + "\u0301" * 5000,
    "zero width": "\u200b\u200d\ufeff",
    "private and unassigned": "\ue000\U000f0000\u0378\uffff",
    "one long word": "a" * 20_000,
    "punctuation": "?!.,;:…。，！？" * 50,
    "a megabyte": "The quick brown fox jumps over the lazy dog. " * 23_000,
    "a megabyte of chinese": "我们今天去京都看红叶。" * 32_000,
}


class EmbedderConformance:
    """Inherit it as a test class and override the fixture `embedder`.

    Attributes:
        tolerance: how far a number may move when the same text is embedded again, or among others.
        seconds: how long any one call of this kit may take.
    """

    tolerance: ClassVar[float] = 1e-5
    seconds: ClassVar[float] = 60.0

    def test_one_unit_row_of_float32_per_text(self, embedder: Embedder) -> None:
        """Shape, type and length of the vectors."""
        for count in (0, 1, len(_PLAIN)):
            rows = embedder.embed(_PLAIN[:count], "passage")
            _check(rows.shape == (count, embedder.dim), f"{count} texts gave the shape {rows.shape}")
            _check(rows.dtype == np.float32, f"vectors are {rows.dtype}, not float32")
            self._check_rows(rows, blank_allowed=False)

    def test_queries_and_passages(self, embedder: Embedder) -> None:
        """Both kinds are accepted and comparable."""
        for kind in get_args(Kind):
            rows = embedder.embed(list(_PLAIN), kind)
            _check(rows.shape == (len(_PLAIN), embedder.dim), f"{kind} gave the shape {rows.shape}")

    def test_same_text_same_vector(self, embedder: Embedder) -> None:
        """Asked twice, and within one list."""
        first, second, *_ = embedder.embed([_PLAIN[0], _PLAIN[0], _PLAIN[1]], "query")
        self._check_close(first, second, "a text twice in one list")
        self._check_close(first, self._one(embedder, _PLAIN[0], "query"), "a text asked for again")

    def test_a_vector_does_not_depend_on_its_neighbours(self, embedder: Embedder) -> None:
        """Alone, in a list, in another order, beside much longer texts."""
        alone = np.stack([self._one(embedder, text, "passage") for text in _PLAIN])
        self._check_close(alone, embedder.embed(_PLAIN, "passage"), "texts in one list, in order")
        backwards = embedder.embed(_PLAIN[::-1], "passage")
        self._check_close(alone, backwards[::-1], "texts in the opposite order")
        beside = embedder.embed([_PLAIN[0], "long " * 400, _PLAIN[1]], "passage")
        self._check_close(alone[:2], beside[::2], "texts beside a long one")

    def test_order_is_kept_over_many_texts(self, embedder: Embedder) -> None:
        """More texts than most batches hold."""
        texts = [f"turn {number}: {_PLAIN[number % len(_PLAIN)]}" for number in range(150)]
        rows = embedder.embed(texts, "passage")
        for place in (0, 63, 64, 100, 149):
            self._check_close(
                self._one(embedder, texts[place], "passage"), rows[place], f"text {place} of 150"
            )

    def test_different_texts_differ(self, embedder: Embedder) -> None:
        """No two of some plain texts share a vector."""
        rows = embedder.embed(_PLAIN, "passage")
        same = np.triu(rows @ rows.T, 1).max()
        _check(same < 1 - 1e-4, f"two different texts have the cosine {same}")

    def test_odd_texts(self, embedder: Embedder) -> None:
        """Each alone: finite, and of length 1 or, for blank ones at most, 0."""
        for name, text in _ODD.items():
            for kind in get_args(Kind):
                started = time.monotonic()
                rows = embedder.embed([text], kind)
                took = time.monotonic() - started
                _check(rows.shape == (1, embedder.dim), f"{name}: the shape is {rows.shape}")
                self._check_rows(rows, blank_allowed=len(text) < 10, name=name)  # noqa: PLR2004
                _check(took < self.seconds, f"{name}: took {took:.0f} s")

    def test_odd_texts_leave_their_neighbours_alone(self, embedder: Embedder) -> None:
        """All of them in one list with plain ones around."""
        rows = embedder.embed([_PLAIN[0], *_ODD.values(), _PLAIN[1]], "passage")
        self._check_close(rows[0], self._one(embedder, _PLAIN[0], "passage"), "a text before odd ones")
        self._check_close(rows[-1], self._one(embedder, _PLAIN[1], "passage"), "a text after odd ones")

    def test_text_after_nul_counts(self, embedder: Embedder) -> None:
        """An engine in C may stop at the first zero byte."""
        whole, half = embedder.embed(["tea\0and the history of Rome", "tea"], "passage")
        _check(not np.allclose(whole, half, atol=self.tolerance), "text after a NUL is dropped")

    def test_the_array_is_the_callers(self, embedder: Embedder) -> None:
        """Writing into it changes no later answer."""
        before = self._one(embedder, _PLAIN[2], "query")
        embedder.embed([_PLAIN[2]], "query")[:] = 7
        self._check_close(
            before, self._one(embedder, _PLAIN[2], "query"), "a vector after the last was overwritten"
        )

    def test_fingerprint(self, embedder: Embedder) -> None:
        """Not empty, and the same before and after use."""
        before = embedder.fingerprint
        embedder.embed([_PLAIN[0]], "query")
        _check(before.strip() != "", "the fingerprint is empty")
        _check(before == embedder.fingerprint, "the fingerprint changed with use")

    def test_threads(self, embedder: Embedder) -> None:
        """Many callers at once get what each would get alone."""

        def alone(text: str) -> NDArray[np.float32]:
            return self._one(embedder, text, "passage")

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(alone, _PLAIN * 8))
        expected = embedder.embed(_PLAIN, "passage")
        for place, row in enumerate(found):
            self._check_close(row, expected[place % len(_PLAIN)], "a text embedded among threads")

    def test_use_after_fork(self, embedder: Embedder) -> None:
        """A child forked after use embeds as its parent does, and does not hang."""
        if not hasattr(os, "fork"):
            return
        texts = [*_PLAIN, "long " * 200]
        expected = embedder.embed(texts, "passage")
        sent = _in_child(lambda: embedder.embed(texts, "passage").tobytes(), self.seconds)
        found = np.frombuffer(sent, dtype=np.float32)
        _check(found.size == expected.size, "a forked child could not embed")
        self._check_close(found.reshape(expected.shape), expected, "texts embedded in a forked child")
        self._check_close(embedder.embed(texts, "passage"), expected, "texts embedded after a fork")

    def _one(self, embedder: Embedder, text: str, kind: Kind) -> NDArray[np.float32]:
        row: NDArray[np.float32] = embedder.embed([text], kind)[0]
        return row

    def _check_rows(
        self, rows: NDArray[np.float32], *, blank_allowed: bool, name: str = "plain texts"
    ) -> None:
        _check(bool(np.isfinite(rows).all()), f"{name}: not all numbers are finite")
        for length in np.linalg.norm(rows.astype(np.float64), axis=1):
            fits = abs(length - 1) < 1e-3 or (blank_allowed and length == 0)  # noqa: PLR2004
            _check(fits, f"{name}: a vector has the length {length}")

    def _check_close(self, one: NDArray[np.float32], other: NDArray[np.float32], what: str) -> None:
        apart = float(np.abs(one.astype(np.float64) - other).max())
        _check(apart <= self.tolerance, f"{what}: {apart:.2g} apart, more than {self.tolerance:.2g}")


def _check(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise AssertionError(message)


def _in_child(work: Callable[[], bytes], seconds: float) -> bytes:
    """What a forked child made of `work`; empty when it failed, hung or died."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is the point
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        return _read_all(reader, time.monotonic() + seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read_all(reader: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 65_536)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return b""
