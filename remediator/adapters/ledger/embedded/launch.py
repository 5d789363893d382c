"""Turn this process into a PostgreSQL program: take on an identity, tie its life to the owner's, exec.

Run as a script of its own (``python -I -S launch.py ...``), never imported by the daemon. A fresh single-threaded
process may enter a user namespace and set its parent-death signal; neither is safe between fork and exec of a daemon
that has threads. Exit codes: 97 when user namespaces are forbidden here, 98 when the owner is already gone.

Arguments: KIND UID GID SIGNAL OWNER PROGRAM [ARGUMENT...]
KIND is ``keep`` (stay who we are), ``map`` (a user namespace in which we appear as UID:GID) or ``drop`` (become
UID:GID for good). SIGNAL is what the kernel sends us when OWNER, our parent, dies; 0 for nothing.
"""

import ctypes
import os
import sys
from pathlib import Path

NAMESPACES_FORBIDDEN = 97
OWNER_GONE = 98
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def _enter_namespace(uid: int, gid: int) -> None:
    real_uid, real_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        print(f"unshare: {os.strerror(ctypes.get_errno())}", file=sys.stderr)  # noqa: T201 - a script: its log is stderr
        sys.exit(NAMESPACES_FORBIDDEN)
    try:
        # The kernel lets an unprivileged process map its group only after it has given up setgroups.
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {real_gid} 1", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {real_uid} 1", encoding="ascii")
    except OSError as error:
        print(f"user namespace: {error}", file=sys.stderr)  # noqa: T201 - same
        sys.exit(NAMESPACES_FORBIDDEN)


def _die_with(owner: int, death_signal: int) -> None:
    # After the change of identity: changing credentials clears the setting.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != owner:
        sys.exit(OWNER_GONE)


def main(arguments: list[str]) -> None:
    """Become the program named in ``arguments`` (see the module); does not return."""
    kind, (uid, gid, death_signal, owner) = arguments[0], map(int, arguments[1:5])
    command = arguments[5:]
    os.umask(0o077)
    if kind == "map":
        _enter_namespace(uid, gid)
    elif kind == "drop":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if death_signal:
        _die_with(owner, death_signal)
    os.execv(command[0], command)  # noqa: S606 - by absolute path, no shell wanted


if __name__ == "__main__":
    main(sys.argv[1:])
