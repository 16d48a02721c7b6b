"""The web chatbot in a real Chromium: `make test-browser`. SHOTS=FOLDER keeps pictures of what it saw."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from tests.examples.conftest import EXAMPLES

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
WATCH = """() => {
  window.seen = [];
  const note = () => seen.push(document.querySelector("#turns li:last-child")?.textContent);
  const all = {childList: true, subtree: true, characterData: true};
  new MutationObserver(note).observe(document.querySelector("#turns"), all);
}"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (chromium, chromium-browser, google-chrome)"
)


@contextmanager
def started(port):
    """The example as its reader starts it, offline; ended as by a power cut."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    command = [sys.executable, str(EXAMPLES / "web_chat.py")]
    with subprocess.Popen(command, env=environment | {"PORT": str(port)}) as process:  # noqa: S603 (ours)
        try:
            until = time.monotonic() + 60
            while not _answers(port):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            yield
        finally:
            process.kill()


def _answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def page(tmp_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            args=FLAGS.split(),
            viewport={"width": 1280, "height": 800},
        )
        page = browser.pages[0]
        page.troubles = []
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("console", lambda said: page.troubles.append(said.text) if said.type == "error" else None)
        expect.set_options(timeout=30_000)
        yield page
        browser.close()


def say(page, text):
    """Type a message, send it with Enter and wait for the end of the answer, which is returned."""
    answers = page.locator("#turns .assistant")
    before = answers.count()
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")
    expect(answers).to_have_count(before + 1)
    expect(page.locator("#turns .coming")).to_have_count(0)
    expect(page.get_by_label("Send")).to_be_enabled()
    return answers.last.text_content()


def ask_until_recalled(page, text, wanted):
    """Ask; again when the machine was so busy that memory missed its deadline."""
    for _ in range(4):
        answer = say(page, text)
        if page.locator("#memories li", has_text=wanted).count():
            break
    return answer


def shot(page, name):
    """Keep a picture, wide and narrow, when somebody wants to look."""
    if folder := os.environ.get("SHOTS"):
        for width, height in ((1280, 800), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=Path(folder) / f"{name}-{width}.png")
        page.set_viewport_size({"width": 1280, "height": 800})


def test_a_chat_a_second_one_and_a_restart_in_its_middle(page, port):
    with started(port):
        page.goto(f"http://127.0.0.1:{port}/")
        shot(page, "empty")
        page.evaluate(WATCH)
        answer = say(page, "My bike is a blue Peugeot, and it stands in shed 14.")
        assert answer == "I will keep that in mind."
        parts = {text for text in page.evaluate("seen") if text and answer.startswith(text)}
        assert len(parts) > 3, "it is shown as it comes"
        say(page, "我的猫叫小满，今年三岁，最爱吃三文鱼。")
        page.get_by_role("link", name="New chat").click()
        expect(page.locator("#turns li")).to_have_count(0)
        attack = '<img src=x onerror="document.title=1"><b>bold</b><script>document.title=2</script>'
        say(page, attack)
        expect(page.locator("#turns .user")).to_have_text(attack)
        expect(page.locator("#turns img, #turns b, #turns script, nav img, nav b")).to_have_count(0)
        assert page.title() == "A chat that remembers"

    with started(port):
        assert "blue Peugeot" in ask_until_recalled(page, "What colour is my bike?", "Peugeot")
        card = page.locator("#memories li", has_text="Peugeot").first
        expect(card).to_contain_text(re.compile(r"\d{4}-\d\d-\d\d · you"))
        expect(card).to_contain_text(re.compile(r"(same words|same meaning).* · \d+ tokens"))
        expect(page.locator("#account")).to_contain_text(re.compile(r"[2-9] earlier messages of this chat"))
        shot(page, "recalled")
        assert "小满" in ask_until_recalled(page, "我的猫叫什么名字？", "小满")
        shot(page, "chinese")

        page.reload()
        expect(page.locator("#turns .user").first).to_have_text(attack)
        expect(page.locator("#chats a")).to_have_count(2)
        page.locator("#chats a", has_text="My bike").click()
        expect(page.locator("#turns .user").first).to_contain_text("shed 14")
        page.set_viewport_size({"width": 390, "height": 844})
        for part in ("nav", "#turns", "form", "aside"):
            box = page.locator(part).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
            assert 0 < box["y"] + box["height"] <= 844
        page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label("Your message").fill("Is anybody there?")
    page.keyboard.press("Enter")
    expect(page.locator("#turns .error")).to_be_visible()
    expect(page.get_by_label("Send")).to_be_enabled()
    troubles = [trouble for trouble in page.troubles if "ERR_CONNECTION_REFUSED" not in trouble]
    assert troubles == []
