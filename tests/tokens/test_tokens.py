"""Token counts: exact where the table is on disk, else estimated a little high and corrected by usage."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.context.samples import CHINESE, ENGLISH, SAMPLES
from tests.tiktoken_tables import unpack

from convmem.tokens.count import LearnedRatios, count_message, count_messages
from convmem.tokens.estimate import Remembered, estimate
from convmem.tokens.tiktoken import Tables, encoding_of, table_is_here


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("tiktoken"))


@pytest.fixture(scope="session")
def _loaded(unpacked):
    tiktoken = pytest.importorskip("tiktoken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(unpacked))
        return {name: tiktoken.get_encoding(name) for name in ("o200k_base", "cl100k_base")}


@pytest.fixture
def encoder(_loaded, unpacked, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(unpacked))
    return _loaded


@pytest.fixture
def no_tables(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "nothing"))


def exact(name="o200k_base"):
    return Tables().counter(name, wait=True)


# Exact counts.


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_counts_are_tiktokens_own(encoder, name):
    count = exact(name)
    for text, _, _ in SAMPLES.values():
        assert count(text) == len(encoder[name].encode(text, disallowed_special=()))
    assert count("") == 0
    assert count("<|endoftext|>") > 1


def test_long_texts_are_counted_to_two_percent(encoder):
    count = exact()
    text = "".join(sample * n for n, (sample, _, _) in enumerate(SAMPLES.values(), 20))
    assert 80_000 < len(text) < 200_000
    assert count(text) == pytest.approx(len(encoder["o200k_base"].encode(text)), rel=0.001)
    assert count(text * 5) == pytest.approx(len(encoder["o200k_base"].encode(text * 5)), rel=0.02)


@pytest.mark.parametrize("character", ["a", " ", "哈", "\n", "\0", "=", "😀", "\ud83d"])
def test_a_megabyte_of_one_character_takes_no_time(encoder, character):
    started = time.thread_time()  # what others do on the machine does not count
    assert 1_000 < exact()(character * 1_000_000) < 3_000_000
    assert 1_000 < estimate(character * 1_000_000) < 3_000_000
    assert time.thread_time() - started < 10


@pytest.mark.parametrize(
    "text", ["\ud83d", "a\udc00b", "\ud83d\ude00", "\0", "x\0y", "\uffff\ufdd0", "<|im_start|>"]
)
def test_any_text_counts(encoder, text):
    assert exact()(text) > 0
    assert estimate(text) > 0


def test_a_counter_is_there_when_it_is_loaded_and_estimates_serve_until_then(encoder):
    tables = Tables()
    ratios = LearnedRatios(tables)
    ratios.counter("gpt-5")
    deadline = time.monotonic() + 60
    while tables.counter("o200k_base") is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ratios.counter("gpt-5")(ENGLISH) == len(encoder["o200k_base"].encode(ENGLISH))
    assert ratios.counter("deepseek-flash")(ENGLISH) == estimate(ENGLISH)


# Nothing is downloaded.


def test_no_table_no_counter(no_tables, tmp_path):
    tables = Tables()
    assert tables.counter("o200k_base", wait=True) is None
    assert LearnedRatios(tables).counter("gpt-5")(ENGLISH) == estimate(ENGLISH)
    assert not table_is_here("o200k_base")
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_table_is_neither_used_nor_removed(unpacked, monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for file in unpacked.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:-9])
    before = sorted(file.name for file in tmp_path.iterdir())
    tables = Tables()
    assert tables.counter("o200k_base", wait=True) is None
    assert not table_is_here("o200k_base")
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_a_table_that_arrives_later_is_found(unpacked, monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tables = Tables()
    assert tables.counter("cl100k_base", wait=True) is None
    unpack(tmp_path, "cl100k_base")
    assert tables.counter("cl100k_base", wait=True) is not None


@pytest.mark.parametrize("folder", ["", "a\0b", "/dev/null"])
def test_cache_folders_that_are_none(monkeypatch, folder):
    monkeypatch.setattr("os.environ", {"TIKTOKEN_CACHE_DIR": folder})
    assert not table_is_here("o200k_base")
    assert Tables().counter("o200k_base", wait=True) is None
    assert Tables().counter("unheard_of", wait=True) is None


def test_the_cache_folder_is_found_as_tiktoken_finds_it(unpacked, monkeypatch, tmp_path):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(unpacked))
    assert table_is_here("o200k_base")
    monkeypatch.delenv("DATA_GYM_CACHE_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert not table_is_here("o200k_base")
    (tmp_path / "data-gym-cache").mkdir()
    unpack(tmp_path / "data-gym-cache", "o200k_base")
    assert table_is_here("o200k_base")


def test_importing_loads_no_tokenizer():
    code = "import convmem.tokens.count, sys; sys.exit('tiktoken' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5.6", "o200k_base"),
        ("GPT-6-luna", "o200k_base"),
        ("openai/o3-mini", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("ft:gpt-4o:ours", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("deepseek-flash", None),
        ("claude-opus-5.5", None),
        ("", None),
        (None, None),
    ],
)
def test_which_encoding_a_model_has(model, encoding):
    assert encoding_of(model) == encoding


# Estimates.


@pytest.mark.parametrize("kind", SAMPLES)
def test_estimates_are_a_little_high(encoder, kind):
    text, least, most = SAMPLES[kind]
    assert least <= estimate(text) / len(encoder["o200k_base"].encode(text)) <= most


@given(st.text(), st.text())
def test_estimates_add_up(one, other):
    both = estimate(one + other)
    assert max(estimate(one), estimate(other)) <= both <= estimate(one) + estimate(other)
    assert (both == 0) == (not one + other)


# Ratios learned from usage.


def learned(*pairs, model="deepseek-flash"):
    ratios = LearnedRatios(Tables())
    for sent, counted in pairs:
        ratios.learn(model, sent=sent, counted=counted)
    return ratios


def test_a_ratio_converges_and_is_the_models_own():
    ratios = LearnedRatios(Tables())
    for _ in range(6):
        sent = round(10_000 * ratios.ratio("deepseek-flash"))
        ratios.learn("deepseek-flash", sent=sent, counted=7_400)
    assert ratios.ratio("deepseek-flash") == pytest.approx(0.74, abs=0.01)
    assert ratios.ratio("another") == ratios.ratio(None) == 1
    assert ratios.counter("deepseek-flash")(CHINESE) == pytest.approx(0.74 * estimate(CHINESE), abs=2)


def test_a_ratio_starts_high(no_tables):
    assert learned((1_000, 600), (1_000, 600)).ratio("deepseek-flash") == 1
    assert LearnedRatios(Tables()).ratio("gpt-4") > 1


def test_odd_replies_move_nothing():
    ratios = learned(*[(1_000, 800)] * 3)
    steady = ratios.ratio("deepseek-flash")
    assert steady == pytest.approx(0.8)
    for counted in (90_000, 1, 0, -5):
        ratios.learn("deepseek-flash", sent=1_000, counted=counted)
        ratios.learn("deepseek-flash", sent=int(1_000 * steady), counted=int(800 * steady))
    assert ratios.ratio("deepseek-flash") == pytest.approx(steady, rel=0.25)
    assert learned((10, 900), (0, 5)).ratio("deepseek-flash") == 1


def test_a_ratio_is_bounded():
    assert learned(*[(1_000, 10**9)] * 20).ratio("deepseek-flash") == 2
    assert learned(*[(1_000, 1)] * 20).ratio("deepseek-flash") == 0.5


@given(st.lists(st.tuples(st.integers(-5, 10**7), st.integers(-5, 10**7))))
def test_whatever_usage_says_the_ratio_stays_in_bounds(pairs):
    assert 0.5 <= learned(*pairs).ratio("deepseek-flash") <= 2


def test_many_threads_and_many_models():
    ratios = LearnedRatios(Tables())

    def learn(number):
        for _ in range(50):
            ratios.learn(f"model-{number % 2_000}", sent=1_000, counted=900)
            assert 0.5 <= ratios.ratio("model-7") <= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(learn, range(4_000)))
    assert len(ratios._seen) <= 1_001


# Messages.


def test_messages_cost_their_text_and_four_more():
    assert count_message({"role": "user", "content": "hello"}, len) == 4 + 5
    assert count_message({"role": "user", "name": "Lan", "content": "hello"}, len) == 4 + 5 + 1 + 3
    assert count_message({"role": "assistant", "content": None}, len) == 4
    assert count_message({"role": "assistant", "content": "", "reasoning_content": "hmm"}, len) == 4 + 3
    assert count_messages([{"role": "user", "content": "hi"}] * 3, len) == 18


def test_parts_calls_and_media_count():
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:" + "A" * 10**6}},
    ]
    assert 1_000 < count_message({"role": "user", "content": parts}, len) < 1_100
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Kyoto"}'}}
    assert count_message({"role": "assistant", "content": None, "tool_calls": [call]}, len) > 20


def test_chat_counts_are_within_two_percent_of_openais_account(encoder):
    chat = [{"role": "user", "content": text} for text, _, _ in SAMPLES.values()]
    account = sum(3 + len(encoder["o200k_base"].encode("user")) for _ in chat) + 3
    account += sum(len(encoder["o200k_base"].encode(message["content"])) for message in chat)
    assert count_messages(chat, exact()) == pytest.approx(account, rel=0.02)


# Counts are remembered.


def test_counts_are_remembered_within_bounds_and_hold_no_text():
    asked = []

    def count(text):
        asked.append(text)
        return len(text)

    remembered = Remembered(count, size=10)
    for _ in range(3):
        assert [remembered("x" * n) for n in range(5)] == list(range(5))
    assert len(asked) == 5
    for n in range(500):
        remembered(f"text {n}")
        assert remembered("kept") == 4
        assert len(remembered._young) + len(remembered._old) <= 10
    assert asked.count("kept") == 1
    assert not any(isinstance(part, str) for key in remembered._young for part in key)
