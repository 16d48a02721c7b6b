"""How broad questions are ranked: each round by itself, so that what is shown comes from many places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convmem.recall.breadth import SHAPES, breadth
from convmem.recall.partition import USER

if TYPE_CHECKING:
    from convmem.recall.breadth import Shape
    from convmem.recall.fuse import Floats
    from convmem.recall.partition import Partition
    from convmem.recall.settings import Settings


def shape_of(partition: Partition, text: str, settings: Settings) -> Shape | None:
    """How a broad question is answered; None for all others, and where not a user talks to an assistant."""
    if not settings.round or partition.kind != "assistant":
        return None
    return SHAPES.get(breadth(text))


def by_rounds(settings: Settings, shape: Shape) -> Settings:
    """The settings for a broad question: each round by itself, wherever it stands."""
    return replace(
        settings,
        pair=0.0,
        previous=0.0,
        next=0.0,
        second_previous=0.0,
        second_next=0.0,
        session=0.0,
        dense_session=0.0,
        recent=0.0,
        recent_asked=0.0,
        user=shape.user,
        user_forward=shape.user,
        early=settings.early if shape.early else 0.0,
    )


def earliness(partition: Partition) -> Floats:
    """How early in its session each row stands: 1 for the first, near 0 for the last."""
    sessions = partition.by_session
    sizes = np.diff(np.append(sessions.starts, len(partition)))[sessions.of]
    place = np.arange(len(partition)) - sessions.starts[sessions.of]
    early = np.empty(len(partition))
    early[sessions.order] = 1 - place / sizes
    return early


def other_half(partition: Partition, score: Floats) -> Floats:
    """For each of the user's turns the score of the reply, for each reply that of the turn it answers."""
    turns, sessions = partition.turns, partition.by_session
    other = np.where(turns.role == USER, sessions.next, sessions.previous)
    there = (other >= 0) & (turns.role[other] != turns.role)
    return np.where(there, score[other], 0.0)
