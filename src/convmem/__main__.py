"""`python -m convmem`: the command line."""

from convmem.cli import main

if __name__ == "__main__":
    main()
