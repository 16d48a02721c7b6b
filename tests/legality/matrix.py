"""The table of the legality matrix: providers, ways of asking, and what happens in a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmem.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Provider:
    """A provider by its rules, and a model that it serves.

    Attributes:
        dialect: of the local provider, and of convmem's own table.
        model: the model asked for.
        told: whether the model's name tells the dialect; else the test's own table of dialects does.
        doors: the ways of asking it has.
        sees: whether the model takes pictures.
        name: of the row.
    """

    dialect: str
    model: str
    told: bool = True
    doors: tuple[str, ...] = ("chat", "stream")
    sees: bool = True
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.dialect


ALL = ("chat", "stream", "responses")
PROVIDERS = (
    Provider("openai", "gpt-6-luna", doors=ALL),
    Provider("deepseek", "deepseek-flash", doors=ALL),
    Provider("deepseek", "deepseek-v4-pro", sees=False, name="deepseek-pro"),
    Provider("deepseek-r1", "deepseek-r1-distill", sees=False),
    Provider("gemini", "gemini-3.8-flash"),
    Provider("kimi", "kimi-k3"),
    Provider("glm", "glm-5.3"),
    Provider("minimax", "MiniMax-M3"),
    Provider("qwen", "qwen3.8-max"),
    Provider("mistral", "mistral-large-4"),
    Provider("anthropic", "claude-sonnet-5-5"),
    Provider("xai", "grok-4.7", doors=ALL),
    Provider("doubao", "doubao-seed-2-1-pro"),
    Provider("openrouter", "any-or", told=False, doors=ALL),
    Provider("groq", "any-groq", told=False, doors=ALL),
    Provider("siliconflow", "any-sf", told=False),
    Provider("together", "any-together", told=False),
    Provider("vllm", "any-vllm", told=False, doors=ALL),
    Provider("llama.cpp", "any-gguf", told=False),
    Provider("ollama", "any-ollama", told=False),
    Provider("nvidia", "any-nim", told=False),
)
TABLE = "".join(
    f'[[match]]\nhost = "127.0.0.1"\nmodel = "{each.model}"\ndialect = "{each.dialect}"\n'
    for each in PROVIDERS
    if not each.told
)


@dataclass(frozen=True)
class Step:
    """One call: what the app says, and what the model answers.

    Attributes:
        says: the words of the user; empty for the results of the calls before.
        reply: of the model.
        picture: whether a picture comes with the words.
        guest: whether the call goes to the other provider.
    """

    says: str
    reply: Reply
    picture: bool = False
    guest: bool = False


@dataclass(frozen=True)
class Case:
    """What happens in a session.

    Attributes:
        steps: the calls in order.
        tools: whether the requests offer tools.
        json: whether they ask for JSON.
        fits: the providers it is for.
    """

    steps: tuple[Step, ...]
    tools: bool = False
    json: bool = False
    fits: Callable[[Provider], bool] = lambda _: True


def asks(*names: str, thought: str | None = None, **fields: Any) -> Reply:
    calls = [ToolCall("look_up", {"place": name}) for name in names]
    return Reply(tool_calls=calls, reasoning_content=thought, **fields)


def talk(*, thought: str | None = None, guest: bool = False) -> tuple[Step, ...]:
    """Three plain calls."""
    return (
        Step("The boat is called Alma.", Reply("Noted, Alma.", reasoning_content=thought), guest=guest),
        Step("她停在三号码头。", Reply("记下了，三号码头。", reasoning_content=thought), guest=guest),
        Step("Her mast is of ash.", Reply("Ash it is.", reasoning_content=thought), guest=guest),
    )


def work(*, thought: str | None = None, hand_over: bool = False) -> tuple[Step, ...]:
    """A round with two calls at once, and one with one; the other provider may take over within the first."""
    return (
        Step("Which tides has Alma at Ness and 宁波?", asks("Ness", "宁波", thought=thought)),
        Step("", Reply("High at noon.", reasoning_content=thought), guest=hand_over),
        Step("And at Skerry?", asks("Skerry", thought=thought), guest=hand_over),
        Step("", Reply("High at two.", reasoning_content=thought), guest=hand_over),
    )


END = Step("What is she called?", Reply("Alma."))
CUT = Step("Plan her trip.", Reply.cut_while_thinking("First the wind, then the tide, and then"))
SILENT = Step("List her sails.", Reply.empty())
NULL = Step("Look up the pier.", asks("pier", extra={"content": None}))
BROKEN = Step(
    "Look up the harbour.", Reply(tool_calls=[ToolCall("look_up", '{"place": "har')], reasoning_content="hm")
)
FOUND = Step("", Reply("It is the third one."))
SEEN = Step("This is she.", Reply("A fine boat."), picture=True)
SPOKEN = Step("Say hello.", Reply.spoken("Hello from the quay."))
THOUGHT = "The log has it."

CASES: dict[str, Case] = {
    "plain": Case((*talk(), END)),
    "thinking": Case((*talk(thought=THOUGHT), END)),
    "tools": Case((*talk()[:1], *work(), END), tools=True),
    "tools, thinking": Case((*talk()[:1], *work(thought=THOUGHT), END), tools=True),
    "tools, then none": Case((*talk()[:1], NULL, FOUND, END), tools=True),
    "cut reply": Case((*talk()[:1], CUT, *talk()[1:], END)),
    "cut reply, tools": Case((*talk()[:1], CUT, *work(thought=THOUGHT), CUT, END), tools=True),
    "broken arguments": Case((*talk()[:1], BROKEN, FOUND, END), tools=True),
    "JSON mode": Case(
        (Step("Her name as json?", Reply('{"name": "Alma"}')), SILENT, *talk()[1:], END), json=True
    ),
    "pictures": Case((SEEN, *talk(), END), fits=lambda each: each.sees),
    "spoken reply": Case((*talk()[:1], SPOKEN, END), fits=lambda each: each.dialect == "openai"),
    "switch": Case(
        (*talk()[:1], *work(thought=THOUGHT), *talk(guest=True)[1:], CUT, END, Step("Sure?", Reply("Yes."))),
        tools=True,
    ),
    # Mistral refuses the ids of others, also that of the result which the app itself sends.
    "switch in a round": Case(
        (*talk(thought=THOUGHT)[:1], *work(thought=THOUGHT, hand_over=True), END),
        tools=True,
        fits=lambda each: each.dialect != "mistral",
    ),
    "switch with pictures": Case((SEEN, *talk(guest=True), END)),
}
