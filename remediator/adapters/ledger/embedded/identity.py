"""As whom the server runs.

PostgreSQL refuses to run as root, and initdb refuses a user id without a passwd entry. Both are met, without making
users and without opening folders to others, by a user namespace in which our own id is shown to PostgreSQL as
"nobody"; files stay ours. Where namespaces are forbidden (Docker's default profile) root gives the data to "nobody"
and drops to it; an ordinary user without a passwd entry is told what to do. macOS has no namespaces.
"""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from remediator.model.errors import ConfigError

_NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the launcher changes identity: ``kind`` as it understands it, and the ids it shows or becomes."""

    kind: Literal["keep", "map", "drop"]
    uid: int
    gid: int


def choose(cluster: Path) -> Identity:
    """The identity for the data directory ``cluster``, which need not exist yet.

    Raises ConfigError when the data belongs to a user that we cannot become.
    """
    uid, owner = os.geteuid(), cluster.stat() if cluster.exists() else None
    if owner is not None and owner.st_uid != uid:
        if uid == 0:
            return Identity(kind="drop", uid=owner.st_uid, gid=owner.st_gid)
        raise ConfigError(
            f"the database in {cluster} belongs to user {owner.st_uid}, not to {uid}: run remediator as that user"
        )
    if uid != 0 and _has_entry(uid):
        return Identity(kind="keep", uid=uid, gid=os.getegid())
    if sys.platform != "linux":
        return fallback()
    nobody = _nobody()
    return Identity(kind="map", uid=nobody.pw_uid, gid=nobody.pw_gid)


def fallback() -> Identity:
    """What is left where user namespaces are forbidden. Raises ConfigError for an ordinary user."""
    uid = os.geteuid()
    if uid != 0:
        raise ConfigError(
            f"user id {uid} has no entry in /etc/passwd, PostgreSQL needs one, and user namespaces are forbidden here: "
            "add an entry, run as a known user, or give --database-url"
        )
    nobody = _nobody()
    return Identity(kind="drop", uid=nobody.pw_uid, gid=nobody.pw_gid)


def hand_over(root: Path, identity: Identity) -> None:
    """Give the state folder to the user that the server drops to."""
    for folder, _, files in os.walk(root):
        os.chown(folder, identity.uid, identity.gid)
        for file in files:
            os.chown(Path(folder, file), identity.uid, identity.gid, follow_symlinks=False)


def check_reach(identity: Identity, *paths: Path) -> None:
    """Make sure that the user dropped to may enter the folders. Raises ConfigError naming the one that is closed."""
    for path in paths:
        for folder in (path, *path.parents):
            status = folder.stat()
            bit = 0o100 if status.st_uid == identity.uid else 0o010 if status.st_gid == identity.gid else 0o001
            if not status.st_mode & bit:
                raise ConfigError(
                    f"PostgreSQL cannot run as root and would run as user {identity.uid}, who may not enter {folder}: "
                    "run remediator as an ordinary user, or keep its environment and state where that user may go"
                )


def _has_entry(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _nobody() -> pwd.struct_passwd:
    entries = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    # The user made for such things, else any other that is not root.
    for entry in sorted(entries, key=lambda entry: entry.pw_name != _NOBODY):
        return entry
    raise ConfigError("/etc/passwd has no entry but root's and PostgreSQL must not run as root: add a user 'nobody'")
