"""The second edition of the schema: what its tables promise, and what forgetting makes of names and sums."""

# ruff: noqa: S608 (SQL is put together from texts that stand beside it)

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from tests.stores.test_sqlite_forgetting import on_disk

import convmem
from convmem.abilities import (
    ForgetRequest,
    NewView,
    OwnerRef,
    ReceiptsRequest,
    ResponseRequest,
    ViewsRequest,
)
from convmem.errors import StoreError, StoreNewerError
from convmem.protocols import (
    CallRow,
    FindRequest,
    NewReceipt,
    SessionRef,
    SessionsRequest,
    TurnsRequest,
    Write,
)
from convmem.stores.sqlite import SQLiteStore
from convmem.testing._abilities.base import MODEL, OTHER_MODEL, owner_of, seqs, unindexed, views
from convmem.testing._store.base import ALICE, BOB, NOBODY, NOON, add, contents, line, nodes, said

KYOTO = SessionRef("alice@example.com", "journey-to-kyoto")
OSAKA = SessionRef("alice@example.com", "journey-to-osaka")
LONE = SessionRef(None, "session-without-user")


@pytest.fixture
def store(tmp_path):
    store = SQLiteStore(tmp_path / "a.db")
    yield store
    store.close()


def select(store, sql, *values):
    with store._db.reading() as db:
        return db.execute(sql, values).fetchall()


def execute(store, sql, *values):
    with store._db.writing() as db:
        return db.execute(sql, values).fetchall()


# The owner leads.

OWNERLESS = {"store", "owners", "contents", "names", "embedders", "limits", "sums"}
FOR_EVERYBODY = {"views_to_analyze"}


def test_every_row_says_whose_it_is_and_every_key_begins_with_it(store):
    tables = [
        name
        for (name,) in select(store, "SELECT name FROM sqlite_master WHERE type = 'table'")
        if not name.startswith(("sqlite_", "_sqlite"))
    ]
    assert set(tables) >= OWNERLESS
    for table in set(tables) - OWNERLESS:
        keys = select(store, f"SELECT name, origin, partial FROM pragma_index_list('{table}')")
        columns = {
            index: [name for (name,) in select(store, f"SELECT name FROM pragma_index_info('{index}')")]
            for index, _, _ in keys
        }
        nobody = {index for index in columns if "_of_nobody" in index}
        leading = {index: names[0] for index, names in columns.items()}
        assert {leading[index] for index in leading.keys() - nobody - FOR_EVERYBODY} <= {"owner"}, table
        for index in nobody:
            (sql,) = select(store, "SELECT sql FROM sqlite_master WHERE name = ?", index)[0]
            assert "WHERE owner < 0" in sql
        references = select(store, f'SELECT id, "from", "table" FROM pragma_foreign_key_list(\'{table}\')')
        for number in {number for number, _, _ in references}:
            columns = {column for each, column, _ in references if each == number}
            (named,) = {each for n, _, each in references if n == number}
            assert "owner" in columns or named in OWNERLESS, (table, named)


def test_no_row_can_name_another_owners(store):
    for ref in (ALICE, BOB):
        add(store, ref, *line("a", "b"))
    theirs = seqs(store, BOB)[0]
    (mine,) = select(store, "SELECT min(id) FROM owners WHERE id > 0")[0]
    for sql in (
        "INSERT INTO vectors (owner, turn, embedder, vector) VALUES (?, ?, 1, 1)",
        "INSERT INTO facts (owner, slot, value, turn, span_start, span_end) VALUES (?, 'home', 1, ?, 0, 1)",
        "UPDATE views SET owner = ? WHERE turn = ?",
    ):
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            execute(store, sql, mine, theirs)


def test_users_have_positive_numbers_and_sessions_without_one_negative(store):
    for ref in (NOBODY, ALICE, LONE, BOB):
        add(store, ref, said("hi"))
    assert select(store, "SELECT id FROM owners ORDER BY id") == [(-2,), (-1,), (1,), (2,)]


def test_a_call_id_of_two_owners_is_two_calls(store):
    for ref in (ALICE, BOB, NOBODY):
        call = CallRow(id="one", at=NOON, state="answered", model=ref.session, host="h", response_id="resp")
        store.write([Write(ref=ref, turns=(said("hi"),), call=call, receipt=NewReceipt(account="{}"))])
    assert len(store.receipts(ReceiptsRequest(call="one"))) == 3
    for ref in (ALICE, BOB, NOBODY):
        (row,) = store.receipts(ReceiptsRequest(call="one", owner=ref.user, session=ref.session))
        assert (row.ref, row.call.model) == (ref, ref.session)
        found = store.response(ResponseRequest(ref.user, "resp"))
        assert found is not None
        assert found.ref == ref
        assert store.response(ResponseRequest(ref.user, "resp", "another session")) is None


def test_when_a_session_was_last_used_is_known(store):
    add(store, ALICE, said("a"), call=CallRow(id="1", at=NOON, state="answered", model="m"))
    later = NOON + timedelta(days=3)
    add(store, ALICE, said("b"), call=CallRow(id="2", at=later, state="answered", model="m"))
    store.put_views([NewView(seq=seqs(store, ALICE)[0], entry=b"e")])
    assert select(store, "SELECT used FROM sessions") == [(later.isoformat(),)]


# Names.


def test_names_are_words_like_others(store):
    """Forgotten, they are in no byte of the file; a digest still finds what they named."""
    for ref in (KYOTO, OSAKA, LONE, BOB):
        add(store, ref, *line("a", "b"))
    store.put_pin(OwnerRef(KYOTO.user), "a pin", NOON)
    assert KYOTO.session.encode() in on_disk(store)
    store.forget(ForgetRequest(owner=owner_of(KYOTO), session=KYOTO.session))
    assert KYOTO.session.encode() not in on_disk(store)
    assert OSAKA.session.encode() in on_disk(store)
    store.forget(ForgetRequest(owner=owner_of(KYOTO), pins=()))
    assert b"alice@example.com" in on_disk(store)  # whose pin it is
    store.forget(ForgetRequest(owner=owner_of(KYOTO)))
    store.forget(ForgetRequest(owner=owner_of(LONE)))
    for name in (KYOTO.user, KYOTO.session, OSAKA.session, LONE.session):
        assert name.encode() not in on_disk(store)
    assert [row.user for row in store.sessions(SessionsRequest())] == ["bob"]
    assert all(node.forgotten for ref in (KYOTO, OSAKA, LONE) for node in nodes(store, ref))
    assert nodes(store, LONE)


def test_a_session_whose_name_is_gone_is_found_by_what_it_forgot(store):
    for ref in (KYOTO, LONE):
        turns = line("a", "b")
        add(store, ref, *turns)
        add(store, OSAKA, said("something else"))
        forgotten = nodes(store, ref)
        store.forget(ForgetRequest(owner=owner_of(ref), session=ref.session))
        (found,) = store.find(FindRequest(ref.user, (turns[1].identity,)))
        assert found.user == ref.user
        assert found.session.startswith("forgotten-")
        assert {node.identity for node in nodes(store, found)} == {node.identity for node in forgotten}
        # What is said there from then on is one session, by whichever name it goes.
        add(store, found, said("c"))
        assert contents(store, ref) == contents(store, found) == ["c"]
        assert found.session in {row.name for row in store.sessions(SessionsRequest(owner=ref.user))}
        add(store, ref, said("d"))
        names = {row.name for row in store.sessions(SessionsRequest(owner=ref.user))}
        assert ref.session in names
        assert found.session not in names
        assert contents(store, found) == ["c", "d"]


def test_a_user_does_not_answer_to_a_digest(store):
    """Whose memory is read is said by a name that the app vouches for."""
    add(store, KYOTO, said("a"))
    ((digest,),) = select(store, "SELECT lower(hex(digest)) FROM owners")
    assert store.turns(TurnsRequest(owner=f"forgotten-{digest}")) == []
    add(store, SessionRef(f"forgotten-{digest}", "s"), said("b"))
    assert [row.user for row in store.sessions(SessionsRequest())] == [KYOTO.user, f"forgotten-{digest}"]


def test_who_comes_back_has_a_name_again(store):
    for ref in (KYOTO, LONE):
        add(store, ref, said("a"))
        store.put_pin(owner_of(ref), "a pin", NOON)
        store.forget(ForgetRequest(owner=owner_of(ref)))
        store.put_pin(owner_of(ref), "another", NOON)
        add(store, ref, said("b"))
        (turn,) = store.turns(TurnsRequest(ref=ref))
        assert (turn.user, turn.session) == (ref.user, ref.session)
    assert {row.name for row in store.sessions(SessionsRequest())} == {KYOTO.session, LONE.session}


# Forgetting.


def test_tombstones_are_known_by_their_words_too(store):
    a, b = line("a", "b")
    add(store, ALICE, a, b)
    store.forget(ForgetRequest(owner=owner_of(ALICE), session=ALICE.session))
    kept = select(store, "SELECT identity, meaning FROM tombstones ORDER BY generation, identity")
    assert sorted(kept) == sorted([(a.identity, a.meaning), (b.identity, b.meaning)])


def test_what_forgotten_calls_cost_is_added_up_without_names(store):
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 30}}
    for ref in (KYOTO, OSAKA, BOB, LONE):
        for n in range(4):
            call = CallRow(
                id=f"{ref} {n}",
                at=NOON + timedelta(days=n // 3),
                state="answered",
                model="m",
                host="h" if n else None,
                usage=usage if n % 2 else None,
            )
            add(store, ref, said(f"{n}"), call=call)
        add(store, ref, call=CallRow(id=f"{ref} recorded", at=NOON, state="answered"))
    store.forget(ForgetRequest(owner=owner_of(KYOTO), seqs=tuple(seqs(store, KYOTO))))
    assert select(store, "SELECT count(*) FROM sums") == [(0,)]  # the calls are there
    for ref in (KYOTO, OSAKA, LONE):
        store.forget(ForgetRequest(owner=owner_of(ref), session=ref.session))
    assert select(store, "SELECT * FROM sums ORDER BY day, host") == [
        ("2026-03-01", "", "m", 3, 3, 0, 0, 0, 0),
        ("2026-03-01", "h", "m", 6, 3, 300, 90, 0, 21),
        ("2026-03-02", "h", "m", 3, 0, 300, 90, 0, 21),
    ]
    assert store.stats().calls == 4


SUMMARY, VALUE, TITLE = "summary of words", "value of words", "title of words"


def derive(store, ref):
    """Put in what nothing writes yet: a summary of the first two turns, a fact of the second, a title."""
    first, second, *_ = seqs(store, ref)
    with store._db.writing() as db:

        def keep(text):
            return db.execute("INSERT INTO contents (body) VALUES (?)", (text,)).lastrowid

        (owner, session), *_ = db.execute("SELECT owner, session FROM turns WHERE seq = ?", (first,))
        (node,) = db.execute(
            "INSERT INTO nodes (owner, session, level, first_seq, last_seq, redaction, text, made_by)"
            " VALUES (?, ?, 0, ?, ?, 0, ?, 'extractive@1') RETURNING id",
            (owner, session, first, second, keep(f"{SUMMARY} {ref.user}")),
        ).fetchone()
        db.executemany(
            "INSERT INTO node_turns (owner, node, turn) VALUES (?, ?, ?)",
            [(owner, node, seq) for seq in (first, second)],
        )
        db.execute(
            "INSERT INTO facts (owner, slot, value, valid_from, turn, span_start, span_end)"
            " VALUES (?, 'home', ?, '2026-03-01', ?, 0, 4)",
            (owner, keep(f"{VALUE} {ref.user}"), second),
        )
        title = keep(f"{TITLE} {ref.user}")
        db.execute("UPDATE sessions SET title = ? WHERE id = ?", (title, session))


def derived(store):
    """How many of each are there, and which of their words stand in the file."""
    counts = tuple(
        select(store, f"SELECT count(*) FROM {table}")[0][0] for table in ("nodes", "node_turns", "facts")
    )
    (titles,) = select(store, "SELECT count(title) FROM sessions")[0]
    file = on_disk(store)
    return (*counts, titles), {text for text in (SUMMARY, VALUE, TITLE) if f"{text} alice".encode() in file}


def test_what_is_derived_goes_with_the_first_of_its_turns(store):
    for ref in (ALICE, BOB):
        add(store, ref, *line("a", "b", "c"))
        derive(store, ref)
    assert derived(store) == ((2, 4, 2, 2), {SUMMARY, VALUE, TITLE})
    first, second, third = seqs(store, ALICE)
    store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(third,)))
    assert derived(store) == ((2, 4, 2, 1), {SUMMARY, VALUE})
    store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(first,)))
    assert derived(store) == ((1, 2, 2, 1), {VALUE})
    store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(second,)))
    assert derived(store) == ((1, 2, 1, 1), set())
    store.forget(ForgetRequest(owner=owner_of(BOB)))
    assert derived(store) == ((0, 0, 0, 0), set())
    assert b"words bob" not in on_disk(store)


def test_what_is_derived_survives_a_repair(store, tmp_path):
    for ref in (ALICE, BOB):
        add(store, ref, *line("a", "b", "c"))
        derive(store, ref)
    call = CallRow(id="1", at=NOON, state="answered", model="m", usage={"prompt_tokens": 1})
    add(store, LONE, said("x"), call=call)
    store.forget(ForgetRequest(owner=owner_of(LONE)))
    sums = select(store, "SELECT * FROM sums")
    store.close()
    path = tmp_path / "a.db"
    convmem.repair(path).copy.unlink()  # the next copy may be of the same second
    again = SQLiteStore(path)
    assert derived(again) == ((2, 4, 2, 2), {SUMMARY, VALUE, TITLE})
    assert select(again, "SELECT * FROM sums") == sums
    assert len(sums) == 1
    assert [row.user for row in again.sessions(SessionsRequest())] == ["alice", "bob"]
    gone = seqs(again, ALICE)[0]
    again.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM turns WHERE seq = ?", (gone,))  # as lost with a damaged page
    convmem.repair(path)
    last = SQLiteStore(path)
    assert derived(last)[0] == (1, 2, 2, 2)  # a summary that lost one of its turns is lost
    last.close()


# Vectors.


def vectors(store, ref, fingerprint):
    return [row.vector for row in store.views(ViewsRequest(owner_of(ref), fingerprint)).rows]


def test_vectors_of_several_embedders_stand_side_by_side(store):
    add(store, ALICE, *line("a", "b"))
    a, b = seqs(store, ALICE)
    for model, seq in ((MODEL, a), (OTHER_MODEL, a), (MODEL, b)):
        store.put_views([NewView(seq=seq, entry=b"e", fingerprint=model, vector=f"{model} {seq}".encode())])
    assert vectors(store, ALICE, MODEL) == [f"{MODEL} {seq}".encode() for seq in (a, b)]
    assert vectors(store, ALICE, OTHER_MODEL) == [f"{OTHER_MODEL} {a}".encode(), None]
    assert vectors(store, ALICE, None) == [None, None]
    assert unindexed(store, MODEL) == []
    assert unindexed(store, OTHER_MODEL) == [b]
    generation = views(store, ALICE).generation
    store.put_views([NewView(seq=b, fingerprint=OTHER_MODEL, vector=b"late")])
    (changed,) = store.views(ViewsRequest(owner_of(ALICE), OTHER_MODEL, generation)).rows
    assert (changed.seq, changed.vector) == (b, b"late")
    store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(a,)))
    assert select(store, "SELECT count(*) FROM vectors") == [(2,)]
    assert f"{OTHER_MODEL} {a}".encode() not in on_disk(store)


def test_turns_that_an_embedder_passed_over_are_found_again(store):
    """Whatever order they are embedded in, and however many others are: `upto` never passes one by."""
    add(store, ALICE, *line(*range(40)))
    every = seqs(store, ALICE)
    passed = {every[3], every[20], every[39]}
    for seq in [*every[30:], *every[:30]]:
        if seq not in passed:
            store.put_views([NewView(seq=seq, entry=b"e", fingerprint=MODEL, vector=b"12")])
        missing = set(unindexed(store, MODEL, limit=100))
        with store._db.reading() as db:
            (upto,) = db.execute("SELECT max(upto) FROM embedders").fetchone() or (0,)
        assert all(each > (upto or 0) for each in missing)
    store.put_views([NewView(seq=every[39], entry=b"e"), NewView(seq=every[3], entry=b"e")])
    assert unindexed(store, MODEL) == sorted(passed)
    assert select(store, "SELECT upto FROM embedders") == [(every[3] - 1,)]
    store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(every[3],)))
    store.put_views([NewView(seq=every[20], entry=b"e", fingerprint=MODEL, vector=b"12")])
    assert select(store, "SELECT upto FROM embedders") == [(every[39] - 1,)]
    assert unindexed(store, MODEL) == [every[39]]


# A file that becomes a newer edition's while it is open.


def test_a_newer_edition_under_an_open_store_is_told(tmp_path):
    path = tmp_path / "a.db"
    store = SQLiteStore(path)
    add(store, ALICE, said("a"))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE turns RENAME TO turns_of_later")
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('convmem', 'm999', '')"
        )
    for use in (lambda: add(store, ALICE, said("b")), lambda: contents(store, ALICE), store.stats):
        with pytest.raises(StoreNewerError, match=r"newer convmem \(it has m999\); upgrade convmem"):
            use()
    store.close()
