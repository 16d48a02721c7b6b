"""The web chatbot over HTTP: streams, chats that are listed, a restart in mid-conversation, users apart."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager

import httpx2
import openai
import pytest
import uvicorn
from tests.examples.conftest import EXAMPLES

import convmem
from convmem.testing import Fault, Reply
from web_chat import web_chat

PAGE = EXAMPLES / "web_chat_page"


class Server(uvicorn.Server):
    """A server that says when it is there."""

    def __init__(self, app):
        super().__init__(uvicorn.Config(app, port=0, log_level="warning"))
        self.ready = threading.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.ready.set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"


@contextmanager
def served(file="chat.db"):
    """The app on a port of its own, from its start to its end, as often as wanted."""
    memory = convmem.AsyncMemory(file)
    server = Server(web_chat(memory, openai.AsyncOpenAI(max_retries=0)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.ready.wait(30)
        memory.memory.flush(30)  # what was said before can be found
        yield server.url
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


class Browser:
    """One browser: its cookies last longer than a server."""

    def __init__(self):
        self.cookies = {}

    def chats(self, url):
        answer = httpx2.get(f"{url}/chats", cookies=self.cookies)
        self.cookies = dict(answer.cookies)
        return answer.raise_for_status().json()

    def turns(self, url, session):
        answer = httpx2.get(f"{url}/chats/{session}", cookies=self.cookies)
        return answer.raise_for_status().json()

    def say(self, url, session, text):
        answer = httpx2.post(f"{url}/chats/{session}", json={"text": text}, cookies=self.cookies)
        return [json.loads(line) for line in answer.raise_for_status().text.splitlines()]


def words(lines):
    return "".join(line.get("words", "") for line in lines)


@pytest.mark.usefixtures("keyed")
def test_a_restart_in_mid_conversation():
    browser = Browser()
    with served() as url:
        assert browser.chats(url) == []
        said = browser.say(url, "one", "The code of the boiler is E119.")
        assert words(said) == "I will keep that in mind."
        assert len(said) > 5, "it comes in pieces"
        browser.say(url, "two", "你好，我叫小林。")
    with served() as url:
        asked, *answer = browser.say(url, "two", "What is the code of the boiler?")
        assert words(answer) == "You told me: “The code of the boiler is E119.”"
        assert (asked["restored"], asked["complete"], asked["notes"]) == (2, True, [])
        (quoted,) = [turn for turn in asked["recalled"] if "E119" in turn["text"]]
        assert quoted["session"] == "one"
        assert quoted["speaker"] == "user"
        assert quoted["tokens"] > 0
        assert quoted["why"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", quoted["date"])
        assert browser.chats(url) == [
            {"session": "two", "title": "你好，我叫小林。"},
            {"session": "one", "title": "The code of the boiler is E119."},
        ]
        roles = [turn["role"] for turn in browser.turns(url, "two")]
        assert roles == ["user", "assistant", "user", "assistant"]


@pytest.mark.usefixtures("keyed")
def test_browsers_are_users_and_keep_apart():
    ana, bo = Browser(), Browser()
    with served() as url:
        for browser in (ana, bo):
            browser.chats(url)
        ana.say(url, "one", "The code of the boiler is E119.")
        assert bo.chats(url) == []
        assert bo.turns(url, "one") == []
        asked, *answer = bo.say(url, "two", "What is the code of the boiler?")
        assert asked["recalled"] == []
        assert words(answer) == "I do not know that."
        stranger = httpx2.post(f"{url}/chats/one", json={"text": "hello"})
        assert stranger.status_code == 422
        assert "HttpOnly" in httpx2.get(f"{url}/chats").headers["set-cookie"]


def test_what_arrived_before_the_browser_went_away_is_kept(keyed):
    browser = Browser()
    with served() as url:
        browser.chats(url)
        keyed.script(Fault.stall(after_chunks=4, reply=Reply("It is half past nine in the evening.")))
        post = httpx2.stream(
            "POST", f"{url}/chats/one", json={"text": "What time is it?"}, cookies=browser.cookies
        )
        with post as answer:
            came = ""
            for line in answer.iter_lines():
                came += json.loads(line).get("words", "")
                if came == "It is half past nine in ":
                    break
    with served() as url:
        assert browser.turns(url, "one") == [
            {"role": "user", "text": "What time is it?", "state": "answered"},
            {"role": "assistant", "text": "It is half past nine in ", "state": "partial"},
        ]


def test_the_providers_trouble_is_told_and_the_chat_goes_on(keyed):
    browser = Browser()
    with served() as url:
        browser.chats(url)
        keyed.script(Fault.status(402), Fault.cut(after_chunks=2, reply=Reply("It is half past nine.")))
        (refused,) = browser.say(url, "one", "What time is it?")
        assert "402" in refused["error"]
        shown = {"role": "user", "text": "What time is it?", "state": "failed"}
        assert browser.turns(url, "one") == [shown], "a page that is loaded again has what was typed"
        assert browser.chats(url) == [{"session": "one", "title": "What time is it?"}]
        *_, broken = browser.say(url, "one", "What time is it?")
        assert broken["error"]
        assert words(browser.say(url, "one", "Never mind.")) == "I will keep that in mind."


@pytest.mark.usefixtures("keyed")
def test_the_page_is_served_and_takes_nothing_from_elsewhere():
    with served() as url:
        page = httpx2.get(url)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in page.text
        for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert httpx2.get(f"{url}/{name}").status_code == 200
    sources = "".join(file.read_text(encoding="utf-8") for file in PAGE.iterdir() if file.suffix != ".svg")
    assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write", sources)
