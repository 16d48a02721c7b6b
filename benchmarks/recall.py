"""The recall benchmark, as `convmem bench` runs it: `python benchmarks/recall.py --data DIR --out OUT`."""

from __future__ import annotations

import sys

from convmem.bench.command import main

if __name__ == "__main__":
    sys.exit(main())
