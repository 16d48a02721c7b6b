"""Running a script in other processes, with what the tests of a store's file need at hand."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import contextmanager

_BARE = "import sys; path, *rest = sys.argv[1:]\n"
_PRELUDE = """
import os, sys, threading, time
from convmem.errors import StoreError, StoreLockedError
from convmem.protocols import NodesRequest, SessionRef, SessionsRequest, TurnsRequest, Write
from convmem.stores.sqlite import schema
from convmem.stores.sqlite import SQLiteStore
from convmem.testing._store.base import ALICE, add, line, said
path, *rest = sys.argv[1:]

def child(work, *args):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(*args)
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            sys.stdout.flush()
            os._exit(code)
    return pid

def tell(text):
    # In one piece, whoever else prints.
    os.write(1, f"{text}\\n".encode())

def wait(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a child failed"
"""


def start(script, *arguments, bare=False):
    """A Python process; its standard input and output are pipes of text."""
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c"]
    return subprocess.Popen(  # noqa: S603 (our own script)
        [*command, (_BARE if bare else _PRELUDE) + textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, said_last=""):
    """What it printed, once it has ended well and with nothing to complain about."""
    try:
        out, err = process.communicate(said_last, timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), err
    return out.strip()


def run(script, *arguments):
    return finish(start(script, *arguments))


@contextmanager
def running(script, *arguments, bare=False):
    """A process that has printed a line, until the block is left."""
    process = start(script, *arguments, bare=bare)
    process.stdout.readline()
    try:
        yield process
    finally:
        finish(process, "\n")
