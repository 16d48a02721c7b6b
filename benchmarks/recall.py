"""The recall benchmark with all it is compared with: `python benchmarks/recall.py --data DIR --out OUT`."""

from __future__ import annotations

import sys

from comparing.command import main

if __name__ == "__main__":
    sys.exit(main())
