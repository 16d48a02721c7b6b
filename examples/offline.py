"""What answers when there is no key: a provider on this machine, whose model can only quote what it is sent.

So an example that runs offline shows what a real model would have had to go on. Nothing to copy here: your
program begins at `OpenAI()`, which takes OPENAI_API_KEY and OPENAI_BASE_URL from the environment.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from convmem.testing import LocalProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.testing import ReceivedRequest

_PARTS = re.compile(r"[一-鿿]|[a-z]{4,}|[0-9]+")
_ASKS = re.compile(r"[?？]\s*$")
_FENCE = re.compile(r"<(?:memory|summary)>\n.*\n|</(?:memory|summary)>")


@contextmanager
def model(*script: Reply, always: bool = False) -> Iterator[None]:
    """Stand in for the provider while the block runs, unless the environment names one.

    Args:
        script: what it says first; then it quotes.
        always: whatever the environment says.
    """
    named = {name: os.environ.get(name) for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL")}
    if any(named.values()) and not always:
        yield
        return
    with LocalProvider() as provider:
        provider.default = quote
        provider.script(*script)
        os.environ |= {"OPENAI_API_KEY": "offline", "OPENAI_BASE_URL": provider.base_url}
        try:
            yield
        finally:
            for name, value in named.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def quote(request: ReceivedRequest) -> Reply:
    """Answer a question with the line of the request that shares most with it."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return Reply(f"The tool says: {last['content']}.")
    asked = request.newest_user_words
    chinese = re.search(r"[一-鿿]", asked) is not None
    if not _ASKS.search(asked):
        return _said("好的，我记下了。" if chinese else "I will keep that in mind.")
    text = "\n".join(str(m["content"]) for m in request.messages if m["role"] == "user")
    best = max(map(_spoken, _FENCE.sub("", text).splitlines()), key=lambda line: _shared(line, asked))
    if _shared(best, asked) == 0:
        return _said("这个我不知道。" if chinese else "I do not know that.")
    return _said(f"你说过：“{best}”" if chinese else f"You told me: “{best}”")


def _said(text: str) -> Reply:
    return Reply(text, chunk_size=4, chunk_delay_s=0.02)


def _spoken(line: str) -> str:
    """What a user told the model in this line; quoted lines begin with who said it, and when."""
    quoted = re.match(r"(?:\[[\d-]+\] )?(\w+)(?: t\d+)?: (.*)", line)
    said = line if quoted is None else quoted[2] if quoted[1] != "assistant" else ""
    return "" if _ASKS.search(said) else said


def _shared(line: str, asked: str) -> int:
    return len({*_PARTS.findall(line.lower())} & {*_PARTS.findall(asked.lower())})
