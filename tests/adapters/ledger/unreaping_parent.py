"""Play the process 1 of a careless container: adopt orphans and never reap them.

Starts the owner of an embedded server on the folder given, kills server and owner at once, prints the server's process
id, and lingers until its input ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from tests.database_server import DatabaseServer

PR_SET_CHILD_SUBREAPER = 36

if __name__ == "__main__":
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    server = DatabaseServer(Path(sys.argv[1]), migrated=False)
    server.process.send_signal(signal.SIGSTOP)  # so that the owner cannot reap its child
    os.waitpid(server.process.pid, os.WUNTRACED)  # until every thread of it has stopped
    os.kill(server.pid, signal.SIGKILL)
    server.kill()
    print(server.pid, flush=True)
    sys.stdin.read()
