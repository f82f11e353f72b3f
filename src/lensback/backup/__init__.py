"""Backups of a workspace: made while everything runs, looked at, put back.

`places.py` a folder or a bucket · `manifest.py` what a backup says of itself · `make.py` the copy ·
`restore.py` putting back, and verifying.
"""

from __future__ import annotations

from lensback.backup.make import Contents, LastBackup, Made, back_up, forget_old, last
from lensback.backup.manifest import Manifest
from lensback.backup.places import BackupPlace, open_place
from lensback.backup.restore import Restored, Seen, restore, verify

__all__ = [
    "BackupPlace",
    "Contents",
    "LastBackup",
    "Made",
    "Manifest",
    "Restored",
    "Seen",
    "back_up",
    "forget_old",
    "last",
    "open_place",
    "restore",
    "verify",
]
