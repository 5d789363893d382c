"""What processes cost, from /proc: CPU seconds and memory of a whole tree (Linux only)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB_IN_MB = 1_000_000 / 1024
# Places in /proc/PID/stat, counted behind the name in parentheses: the parent, and four times in ticks.
_PARENT = 1
_TIMES = slice(11, 15)
# Place in the first line of /proc/stat, behind its name: idle, and waiting for a disk.
_IDLE = 3


def _stat(pid: int) -> list[str]:
    """Return the fields behind the name, none when the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Return ``root`` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes have used, with those of the children that they have waited for."""
    return sum(int(ticks) for pid in pids for ticks in _stat(pid)[_TIMES]) / _TICKS


def rss_mb(pids: Iterable[int]) -> float:
    """Return the memory in use (resident), in MB of 10^6 bytes; what processes share counts for each of them."""
    return sum(_status_kib(pid, "VmRSS:") for pid in pids) / _KIB_IN_MB


def _status_kib(pid: int, field: str) -> int:
    try:
        status = (PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith(field))


def peak_mb(pid: int) -> float:
    """Return the most memory (resident) that a process has had in use, in MB of 10^6 bytes; 0 when it is gone."""
    return _status_kib(pid, "VmHWM:") / _KIB_IN_MB


def machine_s() -> tuple[float, float]:
    """Return for how many seconds the cores of the machine have been busy with anything, and idle, since it started."""
    fields = [int(field) for field in (PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    idle = fields[_IDLE] + fields[_IDLE + 1]
    return (sum(fields) - idle) / _TICKS, idle / _TICKS
