"""`python -m bprune` is the command `bprune`."""

from bprune.cli import main

main()
