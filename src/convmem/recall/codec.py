"""Entries as bytes, and many of them back as columns in one go."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from convmem.recall.analyze import fingerprint
from convmem.recall.entry import ROLES, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORMAT: Final = 3
"""Version of the layout; with `analyze.fingerprint` it stands in front of every entry."""

# magic, layout, analysis, checksum of all that follows | at, digest, question (0..255), role,
# passages, rules, bytes of id, session, speaker, term pairs
_FRONT: Final = struct.Struct("<2sBHI")
_HEAD: Final = struct.Struct("<dQBBHHHHHI")
_WIDE: Final = 0x80
_PREFERS: Final = 0x40
_MAGIC: Final = b"cm"
_START: Final = _FRONT.size + _HEAD.size
_ROLE_NUMBER: Final = {role: number for number, role in enumerate(ROLES)}
_MOST: Final = 0xFFFF


class DamagedEntryError(ValueError):
    """Entries whose bytes are cut, altered, or of another version.

    The remedy is to analyse these turns again, from the journal.

    Attributes:
        indices: Positions, in the sequence that was given, of all that cannot be used.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = tuple(indices)
        super().__init__(
            f"{len(self.indices)} encoded entries cannot be read (first at position {self.indices[0]}); "
            "analyse these turns again with analyze_turn and store the result"
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Many entries, field by field.

    Rows are turns; `passage_*` and `rule_*` are flat over passages and rules, `terms` and
    `counts` over all terms of all passages.
    """

    ids: list[str]
    sessions: list[str]
    speakers: list[str]
    role: NDArray[np.uint8]
    wide: NDArray[np.bool_]
    prefers: NDArray[np.bool_]
    at: NDArray[np.float64]
    digest: NDArray[np.uint64]
    question: NDArray[np.float32]
    passages: NDArray[np.int64]
    rules: NDArray[np.int64]
    passage_start: NDArray[np.int32]
    passage_end: NDArray[np.int32]
    passage_terms: NDArray[np.int32]
    rule_start: NDArray[np.int32]
    rule_end: NDArray[np.int32]
    terms: NDArray[np.uint64]
    counts: NDArray[np.uint16]


def encode(entry: Entry) -> bytes:
    """Return an entry as bytes: versioned, checksummed, equal for equal entries on every machine."""
    texts = [part.encode("utf-8", "surrogatepass") for part in (entry.id, entry.session, entry.speaker)]
    if any(len(part) > _MOST for part in texts):
        raise ValueError("an id, session or speaker of more than 65,535 bytes cannot be indexed")
    passages = entry.passages[:_MOST]
    rules = entry.standing[:_MOST]
    spans = np.array([(p.start, p.end, len(p.terms)) for p in passages], dtype="<i4").reshape(-1, 3)
    body = b"".join(
        (
            _HEAD.pack(
                entry.at,
                entry.digest,
                round(entry.question * 255),
                _ROLE_NUMBER[entry.role] | (_WIDE * entry.wide) | (_PREFERS * entry.prefers),
                len(passages),
                len(rules),
                *(len(part) for part in texts),
                int(spans[:, 2].sum()),
            ),
            *(p.terms.astype("<u8", copy=False).tobytes() for p in passages),
            *(p.counts.astype("<u2", copy=False).tobytes() for p in passages),
            spans.tobytes(),
            np.array(rules, dtype="<i4").tobytes(),
            *texts,
        )
    )
    return _FRONT.pack(_MAGIC, FORMAT, fingerprint(), zlib.crc32(body)) + body


def decode_many(blobs: Sequence[bytes]) -> Columns:
    """Decode entries into columns.

    One pass of slicing, then one numpy call for each column.

    Raises:
        DamagedEntryError: with the positions of all entries that are cut, altered or of another version.
    """
    heads: list[tuple[float, int, int, int, int, int]] = []
    texts: tuple[list[str], list[str], list[str]] = ([], [], [])
    terms, counts, spans, rules = list[bytes](), list[bytes](), list[bytes](), list[bytes]()
    damaged: list[int] = []
    for index, blob in enumerate(blobs):
        if not _is_whole(blob):
            damaged.append(index)
            continue
        at, mark, question, role, n_passages, n_rules, *sizes, n_terms = _HEAD.unpack_from(blob, _FRONT.size)
        heads.append((at, mark, question, role, n_passages, n_rules))
        bounds = [_START]
        for size in (8 * n_terms, 2 * n_terms, 12 * n_passages, 8 * n_rules, *sizes):
            bounds.append(bounds[-1] + size)
        terms.append(blob[bounds[0] : bounds[1]])
        counts.append(blob[bounds[1] : bounds[2]])
        spans.append(blob[bounds[2] : bounds[3]])
        rules.append(blob[bounds[3] : bounds[4]])
        for number, column in enumerate(texts, start=4):
            column.append(blob[bounds[number] : bounds[number + 1]].decode("utf-8", "surrogatepass"))
    if damaged:
        raise DamagedEntryError(damaged)
    at, mark, question, role, n_passages, n_rules = zip(*heads, strict=True) if heads else ((),) * 6
    span = np.frombuffer(b"".join(spans), dtype="<i4").reshape(-1, 3)
    rule = np.frombuffer(b"".join(rules), dtype="<i4").reshape(-1, 2)
    return Columns(
        ids=texts[0],
        sessions=texts[1],
        speakers=texts[2],
        role=np.array(role, dtype=np.uint8) & np.uint8(_PREFERS - 1),
        wide=(np.array(role, dtype=np.uint8) & np.uint8(_WIDE)) > 0,
        prefers=(np.array(role, dtype=np.uint8) & np.uint8(_PREFERS)) > 0,
        at=np.array(at, dtype=np.float64),
        digest=np.array(mark, dtype=np.uint64),
        question=np.array(question, dtype=np.float32) / np.float32(255),
        passages=np.array(n_passages, dtype=np.int64),
        rules=np.array(n_rules, dtype=np.int64),
        passage_start=span[:, 0].astype(np.int32),
        passage_end=span[:, 1].astype(np.int32),
        passage_terms=span[:, 2].astype(np.int32),
        rule_start=rule[:, 0].astype(np.int32),
        rule_end=rule[:, 1].astype(np.int32),
        terms=np.frombuffer(b"".join(terms), dtype="<u8").astype(np.uint64, copy=False),
        counts=np.frombuffer(b"".join(counts), dtype="<u2").astype(np.uint16, copy=False),
    )


def _is_whole(blob: bytes) -> bool:
    """Tell whether bytes are an entry of this version, undamaged. The checksum covers every length inside."""
    if len(blob) < _START:
        return False
    magic, layout, analysis, checksum = _FRONT.unpack_from(blob)
    known: bool = magic == _MAGIC and layout == FORMAT and analysis == fingerprint()
    return known and bool(zlib.crc32(memoryview(blob)[_FRONT.size :]) == checksum)
