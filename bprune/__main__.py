"""`python -m bprune` is the command `bprune`."""

from bprune.cli import main

if __name__ == "__main__":  # processes that it spawns import this file too
    main()
