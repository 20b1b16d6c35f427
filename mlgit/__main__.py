"""Lets `python -m mlgit` be the program `mlgit`."""

from mlgit.cli import main

main()
