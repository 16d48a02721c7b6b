"""A chatbot on one web page: several chats, streamed answers, and a panel of the memories each answer got.

    pip install fastapi uvicorn
    python examples/web_chat.py

serves web_chat_page/ on http://127.0.0.1:8000 (copy that folder along, and offline.py), with a stand-in for
the model, or a real one when OPENAI_API_KEY and OPENAI_BASE_URL are set. What is said is kept in chat.db.
"""

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Body, Cookie, FastAPI, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from openai import AsyncOpenAI, OpenAIError

import convmem
import offline

MODEL, PORT = os.environ.get("OPENAI_MODEL", "deepseek-flash"), int(os.environ.get("PORT", "8000"))
# Each browser is a user, and its cookie as good as a password. An app with accounts takes the account's id.
User = Annotated[str, Cookie()]


def web_chat(memory: convmem.AsyncMemory, openai: AsyncOpenAI) -> FastAPI:
    """The app; memory and client are closed when it ends."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with openai, memory:
            yield

    app = FastAPI(lifespan=life)

    @app.get("/chats")
    async def chats(response: Response, user: Annotated[str, Cookie()] = "") -> list[dict]:
        user = user or secrets.token_urlsafe()
        response.set_cookie("user", user, max_age=10**8, httponly=True, samesite="strict")
        first = {t.session: t.text for t in reversed(await memory.turns(user=user, branches=True))}
        return [{"session": name, "title": words[:80]} for name, words in first.items()]  # latest chat first

    @app.get("/chats/{session}")
    async def turns(user: User, session: str) -> list[dict]:
        found = await memory.turns(user=user, session=session)
        return [{"role": turn.role, "text": turn.text, "state": turn.state} for turn in found]

    @app.post("/chats/{session}")
    async def say(user: User, session: str, text: Annotated[str, Body(embed=True)]) -> StreamingResponse:
        client = memory.wrap(openai, user=user, session=session)
        lines = (json.dumps(values) + "\n" async for values in answer(client, text))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def answer(client: AsyncOpenAI, text: str) -> AsyncIterator[dict]:
        said = [{"role": "user", "content": text}]
        try:
            stream = await client.chat.completions.create(model=MODEL, messages=said, stream=True)
            async with stream:
                receipt = asdict(memory.receipt_for(stream))  # known before the first word comes
                yield {name: receipt[name] for name in ("recalled", "restored", "complete", "notes")}
                async for chunk in stream:
                    yield {"words": chunk.choices[0].delta.content or "" if chunk.choices else ""}
        except OpenAIError as error:
            yield {"error": str(error)}

    app.mount("/", StaticFiles(directory=Path(__file__).parent / "web_chat_page", html=True))
    return app


if __name__ == "__main__":
    with offline.model():
        uvicorn.run(web_chat(convmem.AsyncMemory("chat.db"), AsyncOpenAI()), port=PORT)
