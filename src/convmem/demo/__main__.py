"""`python -m convmem.demo`: the same as `convmem demo`."""

import sys

from convmem.cli import main

if __name__ == "__main__":
    main(["demo", *sys.argv[1:]])
