"""How the house stands: what imports what, by the law of `law.toml`, and how many files one call enters.

    python benchmarks/structure.py                # the table; ends with 1 where the law is broken
    python benchmarks/structure.py --json out.json
    python benchmarks/structure.py --write        # draws the rooms anew into docs/design.md

Imports are read with `ast`: those for the type checker and those inside functions count like any other. The
call is one `create()` of a wrapped client with recall, on a Memory that has answered three calls before. A
*change of file* is a call from one file of convmem into another, counted in each thread by `sys.setprofile`;
a read or a write is one call of a method of the store.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "convmem"
PAGE = ROOT / "docs" / "design.md"
# Threads that make views when the reply is there, and what the writer does for them: nobody waits for these.
BEHIND = ("convmem-index", "convmem-vectors")
BEGIN, END = "<!-- drawn by benchmarks/structure.py -->", "<!-- drawn -->"
LAW: dict[str, Any] = tomllib.loads((Path(__file__).parent / "law.toml").read_text("utf-8"))

# What the code says.


def modules(source: Path = SOURCE) -> dict[str, Path]:
    """The files by the names of their modules: `journal.align`, `journal` for its `__init__`, `memory`."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(files: Mapping[str, Path], *, typing: bool = True) -> dict[str, set[str]]:
    """Which of these modules each imports, wherever in its file; without `typing` not for types alone."""
    return {
        name: {to for said in _named(path, typing=typing) if (to := _module(said, files)) and to != name}
        for name, path in files.items()
    }


def _named(path: Path, *, typing: bool = True) -> Iterator[str]:
    """Every dotted name that an import of this file might mean."""
    todo: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def _module(name: str, files: Mapping[str, Path]) -> str | None:
    """The module that a dotted name stands for, or the one it is taken from; None where it is not ours."""
    package, _, inner = name.partition(".")
    if package != "convmem":
        return None
    outer = inner.rpartition(".")[0]
    return next((each for each in (inner, outer) if each in files), "__init__")


def foreign(path: Path) -> set[str]:
    """The top packages that a file imports from outside of convmem."""
    return {name.partition(".")[0] for name in _named(path, typing=False)} - {"convmem"}


def room(module: str) -> str:
    """The package of a module, or the module itself where it stands at the root."""
    return module.partition(".")[0]


def rooms(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Which packages import which."""
    found: dict[str, set[str]] = defaultdict(set)
    for module, known in graph.items():
        found[room(module)] |= {room(to) for to in known} - {room(module)}
    return dict(found)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of names each of which leads to all the others."""
    reach = {name: _reached(name, graph) for name in graph}
    groups = {
        tuple(sorted(to for to in reach[name] if name in reach.get(to, ())))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def _reached(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    """Everything that is imported by `start`, or by what it imports, and so on."""
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        if (name := todo.pop()) not in found:
            found.add(name)
            todo.extend(graph.get(name, ()))
    return found


# What the law says of it.


def unplaced(graph: Mapping[str, set[str]]) -> list[str]:
    """Packages that have no place in the law, and places in it that nothing fills."""
    placed = {name for row in LAW["layers"] for name in row}
    return sorted(placed ^ {room(module) for module in graph})


def outward(graph: Mapping[str, set[str]]) -> list[str]:
    """Imports that do not lead inward."""
    row = {name: at for at, names in enumerate(LAW["layers"]) for name in names}
    return [
        f"{module} imports {to}"
        for module, known in sorted(graph.items())
        for to in sorted(known)
        if room(to) != room(module) and row[room(to)] >= row[room(module)]
    ]


def at_the_root(files: Mapping[str, Path]) -> list[str]:
    """The modules that lie directly in the package."""
    return [name for name, path in files.items() if path.parent == SOURCE]


def within(module: str, names: Iterable[str]) -> bool:
    """Whether a module is one of these, or lies in one of them."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def impure(files: Mapping[str, Path]) -> list[str]:
    """What pure modules import that is not for them."""
    law = LAW["pure"]
    allowed = [*law["modules"], *law["also"]]
    return [
        f"{module} imports {name}"
        for module, known in imports(files, typing=False).items()
        if within(module, law["modules"]) and module not in law["but_for"]
        for name in (
            *sorted(foreign(files[module]) & set(law["no"])),
            *sorted(to for to in known if not within(to, allowed)),
        )
    ]


def name_a_lock(files: Mapping[str, Path]) -> list[str]:
    """Modules outside of threads/ that name a lock of Python's."""
    law = LAW["locks"]
    names = set(law["names"])
    return [
        module
        for module, path in files.items()
        if not within(module, [law["only"], *law["outside"]])
        if any(_names_one(node, names) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    ]


def _names_one(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in names and isinstance(node.value, ast.Name) and node.value.id == "threading"
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "threading"
        and not names.isdisjoint(each.name for each in node.names)
    )


def change_the_store(files: Mapping[str, Path]) -> list[str]:
    """Modules outside of journal/ that call a method which changes a store."""
    law = LAW["writes"]
    return [
        module
        for module, path in files.items()
        if not within(module, [law["only"], *law["outside"]])
        if any(_changes(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    ]


def _changes(node: ast.AST) -> bool:
    law = LAW["writes"]
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr in ("forget", "write"):
        of = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
        return of in law["stores"] and node.func.attr in law["methods"]
    return node.func.attr in law["methods"]


# The picture.


def picture(files: Mapping[str, Path]) -> str:
    """The rooms from the outside to the inside: what each is, and which it knows directly."""
    known = rooms(imports(files))
    lines = ["| | room | what it is | knows |", "|---|---|---|---|"]
    for depth, row in reversed(list(enumerate(LAW["layers"]))):
        for name in row:
            if name != "__main__":
                shown = "`__init__.py`" if name == "__init__" else f"`{name}{_kind(files[name])}`"
                lines.append(f"| {depth} | {shown} | {purpose(files[name])} | {_direct(name, known)} |")
    return "\n".join(lines)


def _kind(path: Path) -> str:
    return "/" if path.name == "__init__.py" else ".py"


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return said.split("\n\n")[0].replace("\n", " ").removesuffix(".").replace("|", "\\|")


def _direct(name: str, known: Mapping[str, set[str]]) -> str:
    """What a room imports and none of its other imports leads to."""
    via = {far for to in known[name] for far in _reached(to, known)}
    return ", ".join(sorted(known[name] - via))


def drawn(page: str, table: str) -> str:
    """The page with this table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


# One call.


@dataclass(slots=True)
class Walk:
    """What a call did, by thread."""

    files: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    changes: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    reads: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    writes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON: of the call, which somebody waits for, and of each thread."""
        waited = [thread for thread in self.files if thread not in BEHIND]
        return {
            "files": len(set().union(*(self.files[thread] for thread in waited))),
            "changes": sum(self.changes[thread] for thread in waited),
            "reads": sum(len(self.reads[thread]) for thread in waited),
            "writes": sum(
                name not in LAW["writes"]["loose"] for thread in waited for name in self.writes[thread]
            ),
            "most": [
                [f"{before} → {here}", count]
                for (thread, before, here), count in self.steps.most_common()
                if thread in waited and before
            ][:12],
            "threads": {
                thread: {
                    "files": len(self.files[thread]),
                    "changes": self.changes[thread],
                    "reads": self.reads[thread],
                    "writes": self.writes[thread],
                }
                for thread in sorted(self.files, key=lambda thread: (thread in BEHIND, thread))
            },
        }


class Watch:
    """Follows calls from file to file while `walk` is set, in this thread and all that start later."""

    def __init__(self) -> None:
        self.walk: Walk | None = None
        self._at = threading.local()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take note of one call or return."""
        if self.walk is None or event not in ("call", "return"):
            return
        here = self._file(frame)
        if here is None:
            return
        if event == "return":
            back = frame.f_back
            while back is not None and self._file(back) is None:
                back = back.f_back
            self._at.file = back and self._file(back)
            return
        thread = threading.current_thread().name
        self.walk.files[thread].add(here)
        before = getattr(self._at, "file", None)
        if here != before:
            self.walk.changes[thread] += 1
            self.walk.steps[thread, before or "", here] += 1
        self._at.file = here

    @staticmethod
    def _file(frame: FrameType) -> str | None:
        """The file below src/convmem that a frame runs in; the local provider is not part of a call."""
        package = Path(sys.modules["convmem"].__file__ or "").parent
        name = frame.f_code.co_filename
        if not name.startswith(str(package)) or name.startswith(str(package / "testing")):
            return None
        return name[len(str(package)) + 1 :]


def counting(store: type, watch: Watch) -> type:
    """A kind of store whose reads and writes are told to the walk, one within another once."""
    from convmem import abilities, protocols  # noqa: PLC0415 (the rest of the program reads files alone)

    within_one = threading.local()
    methods = {
        name
        for module in (protocols, abilities)
        for kind in vars(module).values()
        if getattr(kind, "_is_protocol", False)
        for name in vars(kind)
        if not name.startswith("_") and name not in ("key", "close")
    }

    def counted(name: str) -> Any:  # noqa: ANN401 (any method)
        plain = getattr(store, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if watch.walk is None or getattr(within_one, "busy", False):
                return plain(self, *args, **kwargs)
            into = watch.walk.writes if name in LAW["writes"]["methods"] else watch.walk.reads
            into[threading.current_thread().name].append(name)
            within_one.busy = True
            try:
                return plain(self, *args, **kwargs)
            finally:
                within_one.busy = False

        return method

    return type("Counting", (store,), {name: counted(name) for name in methods if hasattr(store, name)})


SAID = (
    ("pool", "My locker code at the pool is 7719.", "Noted: 7719."),
    ("pool", "The pool closes at nine on Fridays.", "Then you swim before nine."),
    ("trip", "We take the night train to Narvik in June.", "A long ride through the light."),
    ("trip", "The cabin has room for four.", "Two are free, then."),
    ("work", "The quarterly report is due on the third.", "I shall remind you."),
    ("work", "Marta signs the invoices now.", "Marta, then, not Ole."),
)
ASKED = ("Hello!", "What shall I cook tonight?", "And with rice?", "What is my locker code at the pool?")


def one_call(*, whole: bool) -> Walk:
    """Walk through the last of four calls; `whole`: the app sends its whole history with each."""
    import openai  # noqa: PLC0415 (the law needs no SDK)

    import convmem  # noqa: PLC0415
    from convmem.stores.sqlite import SQLiteStore  # noqa: PLC0415
    from convmem.testing import LocalProvider  # noqa: PLC0415
    from convmem.testing.fakes import FakeEmbedder  # noqa: PLC0415

    watch, walk = Watch(), Walk()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        with tempfile.TemporaryDirectory() as folder, LocalProvider() as provider:
            store = counting(SQLiteStore, watch)(Path(folder) / "walk.db")
            with convmem.Memory(store, embedder=FakeEmbedder(), deadline_ms=60_000) as memory:
                for session, said, answer in SAID:
                    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
                    memory.record(turns, user="ann", session=session)
                bare = openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0)
                client: Any = memory.wrap(bare, user="ann", session="now")
                history: list[Any] = []
                for number, asked in enumerate(ASKED):
                    message = {"role": "user", "content": asked}
                    history = [*history, message] if whole else [message]
                    last = number == len(ASKED) - 1
                    if last:
                        watch.walk = walk
                    reply = client.chat.completions.create(model="local", messages=history)
                    history.append({"role": "assistant", "content": reply.choices[0].message.content})
                    memory.flush()
                    if not last:
                        memory.recall("pool", user="ann")  # which waits until all is indexed
                time.sleep(0.3)  # what is done behind the reply is not asked for by the call, but begun by it
                watch.walk = None
                receipt = memory.receipt_for(reply)
                assert receipt is not None, "the call was ours"  # noqa: S101
                assert receipt.recalled, "nothing was recalled, so this was not the walk"  # noqa: S101
            store.close()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return walk


# The report.


def report(files: Mapping[str, Path]) -> dict[str, Any]:
    """What the law says of these files, as JSON."""
    graph = imports(files)
    return {
        "modules": len(files),
        "at_the_root": at_the_root(files),
        "imports": sum(map(len, graph.values())),
        "unplaced": unplaced(graph),
        "circles_of_modules": circles(graph),
        "circles_of_packages": circles(rooms(graph)),
        "outward": outward(graph),
        "impure": impure(files),
        "name_a_lock": name_a_lock(files),
        "change_the_store": change_the_store(files),
    }


def print_law(found: Mapping[str, Any]) -> bool:
    """Print what the law says; whether it is broken."""
    most = LAW["root_modules_at_most"]
    laws = [name for name in found if isinstance(found[name], list) and name != "at_the_root"]
    print(f"{found['modules']} modules, {found['imports']} imports among them\n")
    print("| law | found | aim |\n|---|---|---|")
    print(f"| at the root | {len(found['at_the_root'])} | ≤ {most} |")
    for name in laws:
        print(f"| {name.replace('_', ' ')} | {len(found[name])} | 0 |")
    for name in laws:
        if found[name]:
            print(f"\n{name.replace('_', ' ')}:", *(f"  {each}" for each in found[name]), sep="\n")
    return len(found["at_the_root"]) > most or any(found[name] for name in laws)


def print_calls(calls: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what each call did, in all and by thread."""
    print("\n| one create() with recall | thread | files | changes of file | reads | writes |")
    print("|---|---|---|---|---|---|")
    for name, call in calls.items():
        counts = " | ".join(str(call[what]) for what in ("files", "changes", "reads", "writes"))
        print(f"| {name} | all of the call | {counts} |")
        for thread, each in call["threads"].items():
            shown = f"{thread} (behind the reply)" if thread in BEHIND else thread
            read, written = (", ".join(each[what]) for what in ("reads", "writes"))
            print(f"| | {shown} | {each['files']} | {each['changes']} | {read} | {written} |")
    for name, call in calls.items():
        print(f"\nMost changes of file, {name}:", *(f"  {n:3} {step}" for step, n in call["most"]), sep="\n")


def main() -> int:
    """Print both tables; 1 where the law is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it as JSON, too")
    parser.add_argument("--write", action="store_true", help="draw the rooms anew into docs/design.md")
    parser.add_argument("--no-call", action="store_true", help="imports alone; needs no SDK")
    given = parser.parse_args()
    files = modules()
    if given.write:
        PAGE.write_text(drawn(PAGE.read_text("utf-8"), picture(files)), "utf-8")
    found = report(files)
    broken = print_law(found)
    if not given.no_call:
        walks = {"newest message alone": one_call(whole=False), "whole history": one_call(whole=True)}
        found["calls"] = {name: walk.as_json() for name, walk in walks.items()}
        print_calls(found["calls"])
    if given.json:
        given.json.write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
