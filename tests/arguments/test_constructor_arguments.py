"""Wrong arguments of a Memory: refused where they are given, by name, with what to give, and no file made."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import openai
import pytest
from tests.wrap.bodies import VALUES

import convmem
from convmem.errors import ConvmemError, InputError, ScopeError, StoreError, StoreFormatError
from convmem.importers import read
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder


class Compressor:
    def compress(self, request):
        return request.previous


class Undecided(tzinfo):
    """A zone that does not know its offset."""

    def utcoffset(self, _):
        return None

    def fromutc(self, dt):
        return dt


class Lost(tzinfo):
    """A zone of a class that says nothing."""


class AwaitedStore(InMemoryStore):
    async def turns(self, request):
        return super().turns(request)


class KeylessStore(InMemoryStore):
    key = None


def having(**methods):
    """An object with these methods."""
    return type("Made", (), {name: staticmethod(method) for name, method in methods.items()})()


async def awaited(*_):
    return ""


WRONG = {
    "store": [
        object(),
        5,
        None,
        b"chat.db",
        {},
        InMemoryStore,
        AwaitedStore(),
        KeylessStore(),
        having(turns=len),
    ],
    "policy": [
        object(),
        None,
        5,
        "cheap",
        convmem.WindowPolicy,
        having(plan=awaited),
        having(plan=lambda: None),
    ],
    "embedder": [object(), 5, True, "openai", FakeEmbedder, having(embed=lambda texts: texts)],
    "compressor": [
        object(),
        "extractive",
        Compressor,
        len,
        having(compress=awaited),
        having(compress=lambda: ""),
    ],
    "on_error": ["ignore", None, True, [], object()],
    "deadline_ms": ["300", None, 0, -1, 0.3, True, float("nan"), float("inf"), object()],
    "durability": ["most", None, True, [], object()],
    "dialects": ["nope.toml", 5, object(), {}],
    "prices": ["nope.toml", 5, object(), {}],
    "tz": [
        "Asia/Shangai",
        "",
        "Asia",
        "../x",
        "UTC+8",
        8,
        b"UTC",
        ZoneInfo,
        Lost(),
        Undecided(),
        timedelta(hours=8),
    ],
    "hooks": [print, [1], None, "x", [awaited], [lambda: None], [list]],
    "clock": [None, 5, datetime.now(UTC), datetime, datetime.now, lambda: 7.0, lambda x: x, awaited, "now"],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
@pytest.mark.parametrize("make", [convmem.Memory, convmem.AsyncMemory])
def test_a_wrong_argument_is_refused_by_name_and_nothing_is_made(tmp_path, monkeypatch, name, value, make):
    monkeypatch.chdir(tmp_path)
    given = {"store": "chat.db", "embedder": "none"} | {name: value}
    with pytest.raises(InputError) as caught:
        make(given.pop("store"), **given)
    said = str(caught.value)
    assert name in said.lower()
    assert 20 < len(said) < 400
    assert os.listdir(tmp_path) == []  # noqa: PTH208 (the names)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_any_value_at_all_is_taken_or_refused_in_our_words(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    said = {}
    for kind, make in VALUES.items():
        given = {"store": ":memory:", "embedder": "none"} | {name: make()}
        try:
            convmem.Memory(given.pop("store"), **given).close()
        except ConvmemError as error:
            said[kind] = str(error)
        except RuntimeError as error:
            said[kind] = f"the caller's own iterable: {error}"
    assert all(15 < len(text) < 700 for text in said.values()), "they say what to do, and repeat no book"
    assert said


def test_an_argument_nobody_knows(tmp_path):
    for make in (convmem.Memory, convmem.AsyncMemory):
        with pytest.raises(TypeError, match="dead_line"):
            make(tmp_path / "chat.db", dead_line=3)
    assert not list(tmp_path.iterdir())


def test_what_is_right_is_taken(tmp_path):
    (tmp_path / "p.toml").write_text('name = "mine"\nhigh = 500\n')
    with convmem.Memory(
        tmp_path / "chat.db",
        policy=tmp_path / "p.toml",
        embedder=FakeEmbedder(),
        compressor=Compressor(),
        tz="Asia/Shanghai",
        hooks=[[].append],
        clock=lambda: datetime.now(timezone(timedelta(hours=8))),
        durability="full",
        on_error="raise",
        deadline_ms=5_000,
    ) as memory:
        assert memory.record([{"role": "user", "content": "你好"}], user="ana", session="s")


# Of a client, a call, a record.


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"user": 5}, ScopeError),
        ({"user": ""}, ScopeError),
        ({"session": 7}, ScopeError),
        ({"session": " "}, ScopeError),
        ({"mode": "of"}, ScopeError),
        ({"mode": None}, ScopeError),
        ({"mode": []}, ScopeError),
        ({"policy": "cheap"}, InputError),
        ({"policy": object()}, InputError),
        ({"policy": having(plan=awaited)}, InputError),
    ],
)
def test_wrap_refuses_what_cannot_be(memory, bare, given, error):
    (name,) = given
    with pytest.raises(error, match=f"(?i){name}"):
        memory.wrap(bare, **given)
    if name != "policy":
        with pytest.raises(error, match=name), memory.scope(**given):
            pass


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda m: m.record([{"role": "user", "content": "x"}], user="u", append="no"), "append"),
        (lambda m: m.forget(user="u", dry_run="False"), "dry_run"),
        (lambda m: m.turns(user="u", branches="all"), "branches"),
        (lambda m: m.check(mend="yes"), "mend"),
        (lambda m: m.check(timeout="5"), "timeout"),
        (lambda m: m.reindex("5"), "timeout"),
        (lambda m: m.reindex(-1), "timeout"),
        (lambda m: m.flush(float("nan")), "timeout"),
        (lambda m: m.flush(1e30), "timeout"),
    ],
)
def test_flags_and_times_of_the_direct_api(memory, ask, name):
    memory.record([{"role": "user", "content": "hello"}], user="u", session="s")
    with pytest.raises(InputError, match=name):
        ask(memory)
    assert len(memory.turns(user="u", session="s")) == 1


def test_only_a_memory_is_shared(memory):
    assert asyncio.run(convmem.AsyncMemory.of(memory).stats()).turns == 0
    with pytest.raises(InputError, match="memory is str; give a convmem"):
        convmem.AsyncMemory.of("chat.db")


# Zones by name.


def test_dates_are_meant_and_shown_in_the_zone_that_is_named(provider):
    late = datetime(2026, 6, 30, 17, tzinfo=UTC)  # the first of July in Shanghai
    for zone, day in (("Asia/Shanghai", "2026-07-01"), ("America/New_York", "2026-06-30")):
        with (
            convmem.Memory(
                ":memory:", embedder="none", tz=zone, clock=lambda: late, deadline_ms=5_000
            ) as memory,
            openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        ):
            memory.record(
                [{"role": "user", "content": "My bicycle is green."}], user="u", session="a", at=late
            )
            memory.flush()
            memory.wrap(bare, user="u", session="b").chat.completions.create(
                model="m", messages=[{"role": "user", "content": "What colour is my bicycle?"}]
            )
            assert f"[{day}]" in provider.requests[-1].messages[-1]["content"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Asia/Shangai", "Asia/Shanghai"), ("europe/london", "Europe/London"), ("new york", "America/New_York")],
)
def test_a_name_that_is_nearly_right_is_suggested(name, meant):
    with pytest.raises(InputError, match=f"did you mean '{meant}'"):
        convmem.Memory(":memory:", tz=name)


@pytest.mark.parametrize("name", ["Beijing", "GMT+8", "UTC+8", "xyzzy"])
def test_no_other_place_is_suggested(name):
    with pytest.raises(InputError, match="give the IANA name"):
        convmem.Memory(":memory:", tz=name)


def test_a_machine_without_zones_says_what_to_install(monkeypatch):
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    with pytest.raises(InputError, match="pip install tzdata"):
        convmem.Memory(":memory:", tz="Asia/Nowhere")


def test_an_import_takes_a_zone_by_name(tmp_path):
    line = '{"role": "user", "content": "hi", "timestamp": "2026-07-01 08:00:00"}\n'
    (tmp_path / "a.jsonl").write_text(line)
    (found,) = read(tmp_path / "a.jsonl", tz="Asia/Shanghai")
    assert found.at.astimezone(UTC) == datetime(2026, 7, 1, 0, tzinfo=UTC)
    with pytest.raises(InputError, match="tz is 'Asia/Shanhgai'"):
        read(tmp_path / "a.jsonl", tz="Asia/Shanhgai")


# Where the file is.


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the user's, and another folder to work in."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.mark.parametrize("store", ["~/chat.db", Path("~/chat.db"), "sqlite:///~/chat.db"])
def test_a_leading_tilde_is_the_users_home(home, store):
    with convmem.Memory(store, embedder="none") as memory:
        memory.record([{"role": "user", "content": "hello"}], user="u", session="s")
    with convmem.Memory(home / "chat.db", embedder="none") as memory:
        assert memory.stats().turns == 1
    assert not list(Path.cwd().iterdir())


def test_other_files_are_found_at_home_too(home):
    (home / "policy.toml").write_text('name = "mine"\nrecall = 7\n')
    (home / "prices.toml").write_text("")
    (home / "past.jsonl").write_text('{"role": "user", "content": "hi"}\n')
    with convmem.Memory(
        "~/chat.db", embedder="none", policy="~/policy.toml", prices="~/prices.toml", dialects="~/prices.toml"
    ):
        pass
    assert read("~/past.jsonl")[0].message["content"] == "hi"
    assert convmem.repair("~/chat.db").turns == 0


def test_a_home_or_a_folder_that_is_not_there_is_not_made(home):
    for place in (
        "~/notes/chat.db",
        "~nobody-of-this-name/chat.db",
        "data/chat.db",
        "sqlite:///data/chat.db",
    ):
        with pytest.raises(StoreError, match=r"there is no folder .*; make it first"):
            convmem.Memory(place, embedder="none")
    assert not list(home.iterdir())
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("", "is an empty path"),
        ("   ", "is an empty path"),
        ("sqlite:///", "is an empty path"),
        ("data/", "names a folder"),
        (":Memory:", 'is called ":memory:"'),
        ("sqlite://chat.db", "no host"),
        ("sqlite://localhost/chat.db", "no host"),
        ("sqlite:chat.db", "reads like a URL"),
        ("file:chat.db?mode=ro", "reads like a URL"),
        ("sqlite:///chat.db?mode=ro", "no options"),
        ("postgresql://localhost/chat", "no store for postgresql://"),
        ("https://example.org/chat.db", "no store for https://"),
        ("chat\0.db", "no file can be called"),
        ("chat\ud800.db", "no file can be called"),
    ],
)
def test_paths_that_nobody_means(home, store, said):
    with pytest.raises(InputError) as caught:
        convmem.Memory(store, embedder="none")
    assert said in str(caught.value).replace("which no file", "no file")
    assert not list(Path.cwd().iterdir())
    assert not list(home.iterdir())


@pytest.mark.skipif(os.sep != "/", reason="elsewhere these are paths")
def test_a_path_as_windows_has_it_makes_no_file_of_that_name_but_opens_one(home):
    for place in ("C:\\Users\\ana\\chat.db", "C:/Users/ana/chat.db", "data\\chat.db", Path("data\\chat.db")):
        with pytest.raises(InputError, match="as Windows has it"):
            convmem.Memory(place, embedder="none")
    assert not list(Path.cwd().iterdir())
    convmem.Memory("odd.db", embedder="none").close()
    Path("odd.db").rename("od\\d.db")
    convmem.Memory("od\\d.db", embedder="none").close()


def test_names_that_are_too_long_or_lead_in_a_circle(home):
    with pytest.raises(StoreError, match="too long"):
        convmem.Memory("x" * 5_000, embedder="none")
    Path("circle.db").symlink_to("circle.db")
    with pytest.raises(StoreError, match="choose another path"):
        convmem.Memory("circle.db", embedder="none")


def test_a_folder_in_the_files_place(home):
    for place in (".", "..", str(home), home):
        with pytest.raises(StoreFormatError, match="is a folder; name a file in it"):
            convmem.Memory(place, embedder="none")


def test_a_relative_path_stays_where_it_was_when_the_program_goes_elsewhere(home, monkeypatch):
    with convmem.Memory("chat.db", embedder="none") as memory:
        first = Path.cwd()
        monkeypatch.chdir(home)
        memory.record([{"role": "user", "content": "after"}], user="u", session="s")
    assert not list(home.iterdir())
    with convmem.Memory(first / "chat.db", embedder="none") as memory:
        assert memory.stats().turns == 1


def test_a_store_of_ones_own_stays_open_and_a_path_of_any_kind_does_not(home):
    class Place:
        def __fspath__(self):
            return str(home / "own.db")

    store = InMemoryStore()
    convmem.Memory(store, embedder="none").close()
    assert store.stats().turns == 0
    with convmem.Memory(Place(), embedder="none") as memory:
        memory.record([{"role": "user", "content": "x"}], user="u", session="s")
    assert (home / "own.db").exists()
    assert not (home / "own.db-wal").exists(), "closed"
