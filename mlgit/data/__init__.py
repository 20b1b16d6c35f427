"""Bytes too large for the branch, kept as DVC keeps them, and what is known of data.

hashing.py and pointers.py spell DVC's hashes, manifests and pointers; store.py keeps
objects; ingest.py takes files and folders in, checkout.py hands them out (copying.py
makes the copies, state.py remembers hashes, dvc_repo.py reads the user's own DVC
repository); remote.py and transfer.py share objects; content.py and profiles.py look
at tables. No DVC is imported.
"""

from mlgit.data.store import load, put

__all__ = ["load", "put"]
