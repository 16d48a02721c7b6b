"""A run that compares: what `convmem bench` does, and the rivals, the ablation and the renaming besides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convmem.bench.asking import Asking
from convmem.bench.report import shown
from convmem.bench.run import Run

from . import changes, peers, renaming
from .asking import Ablating, Comparing, ComparingMeans
from .baselines import DENSE
from .rivals import spoken_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.bench.datasets import Conversation, DataSet
    from convmem.bench.rows import Row

__all__ = ["ComparingRun"]


@dataclass(frozen=True, kw_only=True)
class ComparingRun(Run):
    """What is asked besides.

    Attributes:
        ablation: also every step off, one at a time.
        rename, shift_days: also under other names and dates.
    """

    means: ComparingMeans
    ablation: bool = False
    rename: bool = False
    shift_days: int = 0

    def asking(self, conversation: Conversation) -> Asking:
        """Convmem and its rivals."""
        return Comparing(self.means, conversation)

    def texts(self, conversation: Conversation) -> Iterator[str]:
        """Also what is embedded for the others."""
        yield from super().texts(conversation)
        if self.means.peers or not DENSE.isdisjoint(self.means.baselines):
            yield from spoken_texts(conversation)

    def besides(self, data: DataSet, rows: Sequence[Row]) -> tuple[dict[str, Any], list[str]]:
        """What the peers embed, the ablation, the renaming."""
        more: dict[str, Any] = {}
        said: list[str] = []
        if self.means.peers:
            more["peers"] = {
                name: {"releases": peers.releases(name), "embeds": peers.embedded(peers.maker(name))}
                for name in self.means.peers
            }
            lines = (
                f"- {name} {shown(each['releases'])}: embeds {each['embeds']}"
                for name, each in more["peers"].items()
            )
            said.append("What the other memories embed:\n" + "\n".join(lines))
        if self.ablation:
            made = self.rows(data, ".ablation", lambda conversation: Ablating(self.means, conversation))
            more["ablation"] = changes.ablated(made, self.seed)
            said.append(changes.ablation_table(more["ablation"]))
        if self.rename or self.shift_days:
            more["renaming"] = self._renamed(data, rows)
            said.append(changes.renaming_table(more["renaming"]))
        return more, said

    def _renamed(self, data: DataSet, rows: Sequence[Row]) -> dict[str, Any]:
        changed = renaming.changed(data, rename=self.rename, days=self.shift_days)
        self.embed(changed)
        alone = replace(self.means, model=None)
        made = self.rows(changed, ".renamed", lambda conversation: Asking(alone, conversation))
        named = any(turn.speaker for question in data.questions for turn in question.conversation.turns)
        names = "other names" if named else "other names (nobody has one)"
        what = [names] if self.rename else []
        what += [f"{self.shift_days:+} days"] if self.shift_days else []
        return {"what": ", ".join(what), **changes.renamed(rows, made, self.seed)}
