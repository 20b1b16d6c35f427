"""Running a project again as it was: code, data, environment, command.

reproduce.py decides and runs, worktree.py puts code and data in place, environment.py
builds what the run was executed in, comparison.py says whether the outcome is the same.
"""
