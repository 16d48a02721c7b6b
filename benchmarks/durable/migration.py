"""Killing a process while it brings a file of the first edition up to date: nothing may be lost."""

# ruff: noqa: S608 (SQL is put together from texts that stand beside it)

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convmem.stores.sqlite import SQLiteStore, opening
from convmem.stores.sqlite.opening import APPLICATION_ID, applied

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["first_edition", "meaning", "migrate"]

_LATER = "m003_second_edition"
_SMALL = 200  # turns
_PER_SESSION = 20
_BEGUN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_HALF = "old, with a part of the new in its log"
_SPREAD = 1.2
"""Kills fall between the opening of the file and so many times the seconds that an undisturbed run takes."""


def migrate(*, runs: int, turns: int, seed: int, folder: Path) -> bool:
    """Kill a process again and again while it opens a small file, and a bigger one, each time the same."""
    chance = random.Random(seed)
    lost = 0
    for n in (_SMALL, turns):
        template, path = folder / f"first-{n}.db", folder / "killed.db"
        first_edition(template, n)
        before = meaning(template)
        took = _opened(template, path, None)
        trouble, new = _looked_over(path, before)
        if trouble or not new:
            raise RuntimeError(f"an undisturbed run failed: {trouble or 'the file is old'}")
        sizes = [each.stat().st_size / 1e6 for each in (template, path)]
        print(f"{n} turns, {sizes[0]:.1f} MB: up to date in {took:.2f} s, {sizes[1]:.1f} MB then")
        ends = dict.fromkeys(("old", _HALF, "new"), 0)
        for run in range(runs // 2):
            # More of them late, when the log, then the file is written.
            _opened(template, path, chance.betavariate(2, 1) * took * _SPREAD)
            log = Path(f"{path}-wal")
            half = log.exists() and log.stat().st_size > 0
            trouble, new = _looked_over(path, before)
            ends["new" if new else _HALF if half else "old"] += 1
            if trouble:
                lost += 1
                print(f"{n} turns, run {run}: {trouble}")
        print(f"{n} turns, killed {runs // 2} times: {ends}, lost {lost}")
    return not lost


def _opened(template: Path, path: Path, until: float | None) -> float:
    """Open a copy of a file in a process of its own, killed after so many seconds; how long it lived.

    Forked, because a process that has loaded all it needs spends its life on the file.
    """
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(template, path)
    from convmem.stores.sqlite import schema  # noqa: F401, PLC0415 (loads sqlite-utils, for all children)

    ready, told = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(told, b"!")
            SQLiteStore(path).close()
            code = 0
        finally:
            os._exit(code)
    os.read(ready, 1)
    started = time.perf_counter()
    if until is not None:
        time.sleep(until)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(ready)
    os.close(told)
    if until is None and status:
        raise RuntimeError(f"the file could not be opened: {status}")
    return time.perf_counter() - started


def _looked_over(path: Path, before: dict[str, str]) -> tuple[str, bool]:
    """What is wrong with a file, as it was found and after it was opened; whether it was found new."""
    with closing(sqlite3.connect(path)) as db:
        names = applied(db)
    new = _LATER in names
    if names not in ({"m001_journal", "m002_receipts"}, set(opening.MIGRATIONS)):
        return f"it is of no edition: {names}", new
    for when in ("as it was found", "once it was opened"):
        after = meaning(path)
        if after != before:
            changed = [name for name in before if after.get(name) != before[name]]
            return f"{when} it has other {', '.join(changed)}", new
        with closing(sqlite3.connect(path)) as db:
            sound = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            astray = db.execute("PRAGMA foreign_key_check").fetchone()
        if sound != "ok" or astray:
            return f"{when} it is damaged: {sound}, {astray}", new
        SQLiteStore(path).close()
    return "", new


class _Edition(NamedTuple):
    """How an edition says whose a row `x` is.

    Attributes:
        sessions: sessions with their names.
        session: the name of the user and of the session.
        of_session: joins a row to its session.
        owner: the name of the user, or of the session that has none.
        of_owner: joins a row to its owner.
    """

    sessions: str
    session: str
    of_session: str
    owner: str
    of_owner: str


_USERS = "LEFT JOIN names n ON n.id = o.name AND o.id > 0"
_SESSIONS = "LEFT JOIN names m ON m.id = s.name"
_FIRST = _Edition(
    "sessions s JOIN owners o ON o.id = s.owner",
    "o.user, s.name",
    "JOIN sessions s ON s.id = x.session JOIN owners o ON o.id = s.owner",
    "o.user, o.session",
    "JOIN owners o ON o.id = x.owner",
)
_SECOND = _Edition(
    f"sessions s JOIN owners o ON o.id = s.owner {_USERS} {_SESSIONS}",
    "n.body, m.body",
    "JOIN sessions s ON s.owner = x.owner AND s.id = x.session"
    f" JOIN owners o ON o.id = x.owner {_USERS} {_SESSIONS}",
    "n.body, m.body",
    f"JOIN owners o ON o.id = x.owner {_USERS} LEFT JOIN names m ON m.id = o.name AND o.id < 0",
)


def meaning(path: Path) -> dict[str, str]:
    """A digest of what each table says, with words and names in the place of numbers; alike in both editions.

    Names of what was forgotten are left out, as the second edition has none.
    """
    with closing(sqlite3.connect(path)) as db:
        new = _LATER in applied(db)
        sessions, ref, of_session, owner, of_owner = _SECOND if new else _FIRST
        word = "(SELECT body FROM contents WHERE id = x.{0})".format
        vectors = "SELECT x.turn, x.fingerprint, {0} FROM views x WHERE x.vector IS NOT NULL"
        if new:
            vectors = "SELECT x.turn, e.fingerprint, {0} FROM vectors x JOIN embedders e ON e.id = x.embedder"
        told = {
            "vectors": vectors.format(word("vector")),
            "keys": "SELECT key, created FROM store",
            "sessions": (
                f"SELECT s.id, {ref}, s.created, s.generation, o.generation, o.redaction"
                f" FROM {sessions} WHERE EXISTS (SELECT 1 FROM turns t WHERE t.session = s.id)"
            ),
            "turns": (
                f"SELECT x.seq, {ref}, x.parent, x.identity, x.saying, x.meaning, x.role, x.state, x.at,"
                f" {word('payload')}, x.media, x.generation FROM turns x {of_session}"
            ),
            "tombstones": "SELECT session, parent, identity, saying, generation FROM tombstones",
            "media": f"SELECT {owner}, x.digest, {word('content')} FROM media x {of_owner}",
            "settings": f"SELECT x.id, {owner}, x.digest, {word('payload')} FROM settings x {of_owner}",
            "views": f"SELECT x.turn, {owner}, {word('entry')}, x.generation FROM views x {of_owner}",
            "epochs": f"SELECT {ref}, x.host, x.model, x.start, {word('summary')} FROM epochs x {of_session}",
            "pins": f"SELECT x.id, {owner}, {word('text')}, x.at FROM pins x {of_owner}",
            "calls": (
                f"SELECT x.id, {ref}, x.at, x.state, x.model, x.host, x.settings, x.end, x.usage,"
                f" x.response_id, x.error FROM calls x {of_session}"
            ),
            "receipts": f"SELECT x.id, x.call, {ref}, x.at, x.account FROM receipts x {of_session}",
            "receipt_turns": "SELECT receipt, place, turn, about FROM receipt_turns",
            "limits": "SELECT host, model, tokens, at FROM limits",
            "numbers": "SELECT name, seq FROM sqlite_sequence WHERE name IN ('contents', 'turns', 'pins')",
        }
        return {name: _digest(db.execute(sql)) for name, sql in told.items()}


def _digest(rows: Any) -> str:  # noqa: ANN401 (a cursor)
    lines = sorted(repr(row) for row in rows)
    return f"{len(lines)} rows, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"


def first_edition(path: Path, turns: int) -> None:
    """Make a file of the first edition, by its own schema and plain INSERTs, with about so many turns."""
    from convmem.stores.sqlite.schema import migrate as apply  # noqa: PLC0415 (loads sqlite-utils)

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN")
        apply(db, stop_before=_LATER)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for session in range(1, max(2, turns // _PER_SESSION) + 1):
            _session(db, session)
        db.execute("INSERT INTO limits VALUES ('h', 'm', 4096, ?)", (_BEGUN.isoformat(),))
        db.execute("COMMIT")


def _session(db: sqlite3.Connection, session: int) -> None:
    """A session of every fourth user has none; every tenth session is forgotten as a whole."""
    user, name = f"user {session // 5}" if session % 4 else None, f"session {session}"
    column, owned_by = ("user", user) if user is not None else ("session", name)
    forgotten = not session % 10
    db.execute(f"INSERT INTO owners ({column}, generation) VALUES (?, 9) ON CONFLICT DO NOTHING", (owned_by,))
    (owner,) = db.execute(f"SELECT id FROM owners WHERE {column} = ?", (owned_by,)).fetchone()
    at = (_BEGUN + timedelta(minutes=session)).isoformat()
    db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, 9)", (session, owner, name, at))
    if forgotten:
        db.execute("UPDATE owners SET redaction = redaction + 1, rid = rid + 1 WHERE id = ?", (owner,))
        places = [(session, _hash(session, n), n % 2, _hash(session, n - 1)) for n in range(_PER_SESSION)]
        db.executemany("INSERT INTO tombstones VALUES (?, ?, ?, ?, 9)", places)
        return
    system = _keep(db, json.dumps([{"role": "system", "content": f"Be brief, {name}."}]))
    (settings,) = db.execute(
        "INSERT INTO settings (owner, digest, payload) VALUES (?, ?, ?) RETURNING id",
        (owner, _hash("settings", session), system),
    ).fetchone()
    seqs: list[int] = []
    for n in range(_PER_SESSION):
        seqs.append(_turn(db, owner, session, n, at))
        if n % 2:
            call = f"{session:06d}-{n:02d}"
            usage = json.dumps({"prompt_tokens": n, "completion_tokens": 7})
            response = f"resp-{session}-{n}" if n % 3 else None
            values = (call, session, at, "answered", "m", "h", settings, _hash(session, n), usage, response)
            db.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", values)
            _receipt(db, call, session, seqs)
    summary = _keep(db, f"summary of {name}".encode())
    db.execute("INSERT INTO epochs VALUES (?, 'h', 'm', ?, ?)", (session, _hash(session, 3), summary))
    text = _keep(db, f"pin of {name}".encode())
    db.execute("INSERT INTO pins (owner, text, at) VALUES (?, ?, ?)", (owner, text, at))


def _turn(db: sqlite3.Connection, owner: int, session: int, n: int, at: str) -> int:
    words = f"session {session}, remark {n}: " + "the shed is painted green; " * 18
    payload = _keep(db, json.dumps({"role": "user", "content": words}))
    media = None
    if n == 4:
        digest = _hash("media", session % 3)
        media = json.dumps([[["content", 0, "image_url", "url"], digest.hex()]])
        picture = _keep(db, b"data:image/png;base64," + b"QUJD" * 500)
        db.execute("INSERT OR IGNORE INTO media VALUES (?, ?, ?)", (owner, digest, picture))
    place = (session, _hash(session, n - 1), _hash(session, n), 0, _hash("meaning", session, n))
    (seq,) = db.execute(
        "INSERT INTO turns (session, parent, identity, saying, meaning, role, state, at, payload, media,"
        " generation) VALUES (?, ?, ?, ?, ?, 'user', 'answered', ?, ?, ?, ?) RETURNING seq",
        (*place, at, payload, media, n % 9 + 1),
    ).fetchone()
    entry = _keep(db, words.encode()[:300]) if n % 7 else None
    model = (None, "embedder-a@1", "embedder-b@1")[n % 3]
    vector = _keep(db, bytes([n]) * 768) if model is not None else None
    db.execute("INSERT INTO views VALUES (?, ?, ?, ?, ?, ?)", (seq, owner, entry, model, vector, n % 9 + 1))
    return int(seq)


def _receipt(db: sqlite3.Connection, call: str, session: int, seqs: Sequence[int]) -> None:
    (receipt,) = db.execute(
        "INSERT INTO receipts (call, session, at, account) VALUES (?, ?, ?, '{}') RETURNING id",
        (call, session, session),
    ).fetchone()
    named = [
        (receipt, 0, seqs[-2], None),
        (receipt, 1, seqs[-1], None),
        (receipt, 2, seqs[0], '{"score": 1}'),
    ]
    db.executemany("INSERT INTO receipt_turns VALUES (?, ?, ?, ?)", named)


def _keep(db: sqlite3.Connection, body: str | bytes) -> int:
    return int(db.execute("INSERT INTO contents (body) VALUES (?)", (body,)).lastrowid or 0)


def _hash(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()[:16]
