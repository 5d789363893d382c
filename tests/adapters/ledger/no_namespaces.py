"""Run a program where user namespaces are forbidden, as in a container with a strict profile.

Root makes a user namespace in which every id is itself, forbids any further one inside, and becomes the program.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000


def main(command: list[str]) -> None:
    """Fork a helper that may write our id maps from outside, enter the namespace, become ``command``."""
    ours, theirs = os.pipe(), os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.read(ours[0], 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{parent}/{kind}").write_text("0 0 65536", encoding="ascii")
        os.write(theirs[1], b"x")
        os._exit(0)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ours[1], b"x")
    os.read(theirs[0], 1)
    os.wait()
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    os.execv(command[0], command)  # noqa: S606 - a program and its arguments, no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
