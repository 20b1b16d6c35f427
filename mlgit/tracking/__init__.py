"""The run that is under way: its journal, and what it captures of code, machine and console."""
