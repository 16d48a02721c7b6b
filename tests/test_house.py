"""The law of the house (`benchmarks/law.toml`) holds, and what measures it would see it broken."""

from __future__ import annotations

import pytest

from benchmarks import structure

FILES = structure.modules()
GRAPH = structure.imports(FILES)
LAW = structure.LAW


def test_every_package_has_its_place_in_the_law():
    assert structure.unplaced(GRAPH) == []


def test_every_import_leads_inward():
    assert structure.outward(GRAPH) == []


def test_no_modules_and_no_packages_import_each_other_in_a_circle():
    assert structure.circles(GRAPH) == []
    assert structure.circles(structure.rooms(GRAPH)) == []


def test_few_modules_lie_at_the_root():
    assert len(structure.at_the_root(FILES)) <= LAW["root_modules_at_most"]


def test_pure_modules_know_no_file_no_clock_and_no_thread():
    assert structure.impure(FILES) == []


def test_what_the_law_names_is_there():
    pure = LAW["pure"]
    named = [*pure["modules"], *pure["but_for"], *pure["also"], LAW["locks"]["only"], LAW["writes"]["only"]]
    assert [name for name in named if name not in FILES] == []


def test_only_threads_names_a_lock():
    assert structure.name_a_lock(FILES) == []


def test_only_the_journal_changes_a_store():
    assert structure.change_the_store(FILES) == []


def test_the_picture_in_the_design_is_the_code_as_it_stands():
    page = structure.PAGE.read_text("utf-8")
    assert page == structure.drawn(page, structure.picture(FILES)), "python benchmarks/structure.py --write"


def test_every_package_and_module_says_in_a_sentence_what_it_is():
    said = {name: structure.purpose(path) for name, path in FILES.items()}
    assert [name for name, sentence in said.items() if not 10 < len(sentence) < 250] == []


@pytest.mark.parametrize("whole", [False, True], ids=["newest message alone", "whole history"])
def test_one_call_reads_and_writes_as_often_as_the_law_allows(whole):
    pytest.importorskip("openai")
    call = structure.one_call(whole=whole).as_json()
    assert 0 < call["reads"] <= LAW["call"]["reads_at_most"]
    assert call["writes"] == LAW["call"]["writes_at_most"]
    assert 10 < call["files"] < call["changes"]


# Of houses that break the law.


@pytest.fixture
def house(tmp_path):
    """The modules of a package whose files are given by name."""

    def build(**texts: str):
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return structure.modules(tmp_path)

    return build


def test_an_import_that_leads_outward_is_seen_wherever_it_stands(house):
    files = house(
        wire__chat="def late():\n    from convmem.journal import writer\n",
        types="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import convmem.memory\n",
        journal__writer="from convmem.wire.chat import late\n",
        memory="from convmem.types import Turn\n",
    )
    graph = structure.imports(files)
    assert structure.outward(graph) == ["types imports memory", "wire.chat imports journal.writer"]
    assert structure.circles(graph) == [["journal.writer", "wire.chat"], ["memory", "types"]]
    assert structure.circles(structure.rooms(graph)) == [["journal", "wire"], ["memory", "types"]]


def test_impure_modules_are_seen(house):
    files = house(
        wire__chat="import threading\n",
        recall__query="def read():\n    from os.path import join\n",
        stores__file="import os, sqlite3\n",
        types="from convmem.stores import file\n",
    )
    assert structure.impure(files) == [
        "recall.query imports os",
        "types imports stores.file",
        "wire.chat imports threading",
    ]


def test_locks_are_seen_however_they_are_named(house):
    files = house(
        call__one="import threading\nlock = threading.RLock()\n",
        call__two="from threading import Condition\n",
        call__three="import threading\nthreading.current_thread()\n",
        threads__locks="import threading\nlock = threading.Lock()\n",
    )
    assert structure.name_a_lock(files) == ["call.one", "call.two"]


def test_changes_of_a_store_are_seen_and_other_things_of_that_name_are_not(house):
    files = house(
        direct__forget="def go(self):\n    self._store.forget(1)\n",
        direct__pins="def go(shared):\n    shared.store.put_pin(1)\n",
        direct__search="def go(recaller, file):\n    recaller.forget()\n    file.write('')\n",
        journal__jobs="def go(store):\n    store.write([])\n",
        stores__file="def go(self):\n    self.put_views([])\n",
    )
    assert structure.change_the_store(files) == ["direct.forget", "direct.pins"]
