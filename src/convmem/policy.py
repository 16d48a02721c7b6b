"""Policies: how much of a conversation is sent verbatim, when it is cut, what summary and recall may take."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from convmem.arguments.checks import checked_method
from convmem.errors import InputError
from convmem.providers.limits import UNKNOWN_MODEL_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MEDIA",
    "MEDIA_BYTES",
    "PRESETS",
    "MediaPolicy",
    "Plan",
    "Policy",
    "PolicyRequest",
    "WindowPolicy",
    "resolve_policy",
]

_LOW_SHARE = 1 / 3
"""The share of the high mark that a cut keeps where no low mark is given. With a greater share cuts come
more often, and each costs the provider's cache once; with a smaller one each cut removes more."""

MEDIA = 8
"""Pictures and files that are put back under a policy that sets no number: every request pays for them."""
MEDIA_BYTES = 4_000_000
"""Bytes, as they are sent, of the pictures and files that are put back under a policy that sets no number:
some three photographs of a telephone, or eight smaller ones."""


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What a policy decides by; a round is a user's message with all that answers it.

    Attributes:
        rounds: tokens of each round of the branch, oldest first; the last is the newest and always sent.
        start: the index of the round where the window begins now, 0 before the first cut.
        room: tokens that the model takes, less system text and reply; None when that is not known.
    """

    rounds: tuple[int, ...]
    start: int
    room: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy decided.

    Attributes:
        start: the index of the first round to send verbatim; the request's own `start` when nothing is cut.
        summary: the most tokens for the summary of the rounds before `start`; 0 where there are none.
        recall: the most tokens for recalled turns.
    """

    start: int
    summary: int
    recall: int


@runtime_checkable
class Policy(Protocol):
    """Decides how requests are composed; `convmem.testing.policy.PolicyConformance` checks one."""

    def plan(self, request: PolicyRequest) -> Plan:
        """Decide by the request alone: the same request always gets the same plan."""
        ...


@runtime_checkable
class MediaPolicy(Protocol):
    """A policy that also limits how many pictures and files are put back, and with how many bytes.

    For a policy without these attributes the limits are `MEDIA` and `MEDIA_BYTES`. `context.window` asks for
    them, because a `Plan` is of tokens alone.
    """

    @property
    def media(self) -> int:
        """The most pictures, sounds and files that are put back."""
        ...

    @property
    def media_bytes(self) -> int:
        """The most bytes, as they are sent, of the pictures, sounds and files that are put back."""
        ...


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """A window between two water marks.

    The window grows round by round, so that each request begins with the one before it and is read from
    the provider's cache. When it has more than `high` tokens, its oldest rounds leave until at most `low`
    are kept. The wide gap makes cuts rare: each costs the cache once.

    For a model with less room than `high + summary + recall` the high mark is lowered until all three fit,
    and a cut keeps the same share of the mark. The newest round is sent whole whatever its size; recall, then
    the summary, make way. The round before it stays through a cut where the model has room for both.

    The budgets of summary and recall cover all that is put in front of the newest text: fences and pins too.
    Pins go first, with half of the summary's budget at most (`context.cut`) and all of recall's
    (`context.assemble`); what they leave is for the rest.

    Pictures, sounds and files are resent with every request that puts them back. When there are more of them
    than `media`, or they have more than `media_bytes`, the oldest leave until half of that is kept; a mark
    with their date stays. Those of the round before the newest message always stay.

    Attributes:
        name: the policy's name in receipts and reports.
        high: tokens above which rounds leave the window; None for the model's limit.
        low: the most tokens that a cut keeps; None for a third of the mark.
        summary: tokens for the summary of what left the window.
        recall: the most tokens for recalled turns.
        media: the most pictures, sounds and files that are put back.
        media_bytes: the most bytes of them, as they are sent (base64 has a third more than the file).
    """

    name: str
    high: int | None = None
    low: int | None = None
    summary: int = 0
    recall: int = 0
    media: int = MEDIA
    media_bytes: int = MEDIA_BYTES

    def __post_init__(self) -> None:
        name = cast("object", self.name)
        if not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise InputError(f"A policy's name is one line of printable text, not {name!r}")
        for key in ("high", "low", "summary", "recall", "media", "media_bytes"):
            self._check_number(key)
        if self.high is not None and self.low is not None and self.low >= self.high:
            raise InputError(
                f"Policy {name!r}: low ({self.low}) must be less than high ({self.high}); "
                "low is what a cut keeps, high is when to cut"
            )

    def _check_number(self, key: str) -> None:
        value: object = getattr(self, key)
        optional = key in {"high", "low"}
        if value is None and optional:
            return
        # Python's bool is an int, but nobody means one token by `recall = true`.
        if not isinstance(value, int) or isinstance(value, bool):
            unit = _UNITS.get(key, "tokens")
            raise InputError(f"Policy {self.name!r}: {key} is a whole number of {unit}, not {value!r}")
        if value < (key == "high"):
            least = "more than 0" if key == "high" else "0 or more"
            raise InputError(f"Policy {self.name!r}: {key} must be {least}, not {value}")

    def plan(self, request: PolicyRequest) -> Plan:
        """Keep the window where it begins, or cut it down to the low mark when it is over the high mark."""
        newest = max(0, len(request.rounds) - 1)
        start = min(max(0, request.start), newest)
        mark = self._mark(request.room)
        if mark is not None and sum(request.rounds[start:]) > mark:
            start = max(start, min(_cut(request.rounds, self._target(mark)), self._document(request, mark)))
        summary = self.summary if start else 0
        recall = self.recall
        if request.room is not None:
            left = max(0, request.room - sum(request.rounds[start:]))
            summary = min(summary, left)
            recall = min(recall, left - summary)
        return Plan(start, summary, recall)

    def _document(self, request: PolicyRequest, mark: int) -> int:
        """Return the latest round at which a cut may let the window begin: the newest, or the one before it.

        The round before the newest stays where it alone is over the mark and the model has room for both:
        somebody pasted a document, and the newest message is most likely about it. The provider has the
        document in its cache, so sending it once more costs little; with the next message it leaves.
        """
        newest = max(0, len(request.rounds) - 1)
        room = UNKNOWN_MODEL_TOKENS if request.room is None else request.room
        stays = request.rounds[newest - 1] > mark and sum(request.rounds[-2:]) <= room
        return max(0, newest - 1) if stays else newest

    def _mark(self, room: int | None) -> int | None:
        """Return the most tokens that a window may have; None for no limit."""
        if room is None:
            return self.high
        fitting = max(0, room - self.summary - self.recall)
        return fitting if self.high is None else min(self.high, fitting)

    def _target(self, mark: int) -> int:
        """Return the most tokens that a cut at this mark keeps."""
        if self.low is None:
            return int(mark * _LOW_SHARE)
        if self.high is None:
            return min(self.low, int(mark * _LOW_SHARE))
        return mark * self.low // self.high

    def to_toml(self) -> str:
        """Write the policy as TOML, to keep beside the code and to pass in by its path."""
        lines = [f"name = {json.dumps(self.name, ensure_ascii=False)}"]
        for key, absent in (("high", "the model's limit"), ("low", "a third of the mark")):
            value = getattr(self, key)
            lines.append(f"# {key} is not set: {absent}" if value is None else f"{key} = {value}")
        lines += [f"{key} = {getattr(self, key)}" for key in ("summary", "recall", "media", "media_bytes")]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str) -> WindowPolicy:
        """Read what `to_toml` wrote; a key left out has its default.

        Raises:
            InputError: it is not TOML, a key is unknown, or a value cannot be one.
        """
        try:
            found: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"This is not TOML: {error}") from error
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(found) - set(known)):
            raise InputError(f"A policy has no {_listed(unknown)}; its keys are {_listed(known)}")
        if "name" not in found:
            raise InputError('A policy needs a name: name = "mine"')
        return cls(**found)


_UNITS = {"media": "pictures and files", "media_bytes": "bytes"}


def _cut(rounds: Sequence[int], target: int) -> int:
    """Return the index of the oldest round kept when at most `target` tokens are; the newest always is."""
    start = max(0, len(rounds) - 1)
    kept = sum(rounds[start:])
    while start > 0 and kept + rounds[start - 1] <= target:
        start -= 1
        kept += rounds[start]
    return start


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


# Each is a compromise between what a call costs and what the model sees verbatim: `low` is near a third of
# `high`, so that cuts are rare, and summary and recall together take some tenth of `high` (a fifth in `lean`,
# whose window is too short to do without them).
_SHIPPED = (
    # 16 MB, because some providers refuse a body of more than 20 MB.
    WindowPolicy("full", recall=1_024, media=100, media_bytes=16_000_000),
    WindowPolicy("window", high=16_000, low=6_000),
    WindowPolicy("lean", high=4_000, low=1_500, summary=300, recall=512, media=2, media_bytes=1_000_000),
    WindowPolicy("balanced", high=24_000, low=8_000, summary=600, recall=1_024),
    WindowPolicy(
        "thorough", high=48_000, low=16_000, summary=1_500, recall=4_096, media=16, media_bytes=12_000_000
    ),
)

PRESETS: Mapping[str, WindowPolicy] = MappingProxyType({policy.name: policy for policy in _SHIPPED})
"""The policies convmem ships, by name: starting points for your own.

- `full`: everything, up to the model's limit. What stands in the window is never recalled again, so until
  that limit is reached its recall comes from other sessions.
- `window`: the recent rounds and nothing else.
- `lean`, `balanced`, `thorough`: window, summary and recall, small to large.
"""


def resolve_policy(spec: str | Path | Policy) -> Policy:
    """Return the policy that `spec` means: the name of a preset, the path of a TOML file, or a policy itself.

    A string is a path when it ends in `.toml` or has a path separator.

    Raises:
        InputError: no such preset or file, a file that holds no policy, or an object that cannot plan.
    """
    if isinstance(spec, Path):
        return _read(spec)
    if isinstance(spec, str):
        if spec in PRESETS:
            return PRESETS[spec]
        if spec.endswith(".toml") or "/" in spec or "\\" in spec:
            return _read(Path(spec))
        near = get_close_matches(spec, PRESETS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"No policy is called {spec!r:.60}.{meant} There are: {_listed(list(PRESETS))}; "
            "or pass the path of a .toml file, or an object with a method plan."
        )
    found = cast("object", spec)
    if isinstance(found, type):
        raise InputError(f"{found.__name__} is a class; pass a policy made from it")
    if not isinstance(found, Policy) or not callable(found.plan):
        raise InputError(f"A policy has a method plan(request) -> Plan; {type(found).__name__} has none")
    checked_method("policy", found, "plan", arguments=1, give="a policy has a method plan(request) -> Plan")
    if isinstance(found, MediaPolicy):
        for key in ("media", "media_bytes"):
            value: object = getattr(found, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                name = type(found).__name__
                raise InputError(f"Policy {name}: {key} is a whole number, 0 or more, not {value!r}")
    return found


def _read(path: Path) -> WindowPolicy:
    try:
        return WindowPolicy.from_toml(path.expanduser().read_text(encoding="utf-8-sig"))
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # NUL, bytes that are no UTF-8, InputError, ~ of nobody
        why = getattr(error, "strerror", None) or error
        raise InputError(f"No policy could be read from {str(path)!r:.100}: {why}") from error
