from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.recall.analyze import count_terms, digest, term, words


def test_english_is_stemmed_without_stop_words():
    assert list(words("She was organizing the meetings, wasn't she?")) == ["organiz", "meet"]


def test_possessives_match_the_name():
    assert list(words("Hana's tree")) == list(words("Hana’s trees"))


def test_chinese_gives_pairs_and_telling_characters():
    assert list(words("我的猫")) == ["猫", "的猫"]


def test_traditional_and_wide_forms_are_folded():
    assert list(words("貓與獅子")) == list(words("猫与狮子"))
    assert list(words("ＡＢＣ１２３")) == list(words("abc123"))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("mail me at ana.li+news@post.example", "ana.li+news@post.example"),
        ("we run version 3.14.2-rc1 now", "3.14.2-rc1"),
        ("ticket AB-1187", "ab-1187"),
        ("it cost 1,250 kr", "1250"),
        ("server 10.0.0.7:8080", "10.0.0.7:8080"),
        ("会议在2024-05-03举行", "2024-05-03"),
    ],
)
def test_numbers_codes_and_mails_are_kept_whole(text, whole):
    assert whole in set(words(text))


def test_latin_within_chinese_is_a_word_of_its_own():
    assert "porto" in set(words("我和Jorge去了Porto玩"))


@given(st.text(st.characters(codec=None)))  # lone surrogates and NUL included
def test_never_raises(text):
    count_terms(words(text))
    digest(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "中" * 1_000_000,
        "a-" * 500_000,
        "1." * 500_000,
        "\ud800\0" * 500_000,
        "'" * 1_000_000,
    ],
)
def test_a_megabyte_takes_seconds_at_most(text):
    began = time.thread_time()  # what others do on the machine does not count
    count_terms(words(text))
    assert time.thread_time() - began < 10


def test_terms_are_equal_in_every_process():
    code = "from convmem.recall.analyze import term; print(term('猫'), term('tree'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert said.split() == [str(term("猫")), str(term("tree"))]


def test_digest_ignores_case_and_punctuation_only():
    assert digest("Good idea!") == digest("good idea")
    assert digest("Good idea!") != digest("A good idea!")
    assert digest("?") != digest("!")
