"""Logs of pods as evidence: which containers to read, and the end of what they wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from remediator import redaction
from remediator.adapters.kubernetes.client import KubeClient, Request
from remediator.adapters.kubernetes.names import core_path
from remediator.adapters.kubernetes.summaries import dig, name_of

MOST_CONTAINERS = 4
KEPT_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024

# Colours and other commands to a terminal: they would run when somebody prints the evidence, and they tear words apart.
_TERMINAL = re.compile(r"\x1b(?:\[[0-9;?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """One log of one container; ``previous`` is that of the run that ended last."""

    pod: str
    container: str
    previous: bool = False

    @property
    def part(self) -> str:
        """Return the name of the part of the evidence."""
        return f"logs/{self.pod}/{self.container}" + ("/previous" if self.previous else "")


def choose(pods: Iterable[dict[str, Any]], most: int = MOST_CONTAINERS) -> list[LogSource]:
    """Return what to read, the crashed containers first; the previous run of each that has one."""
    ranked = sorted(
        (_rank(status), name_of(pod), str(status.get("name", "")), bool(status.get("restartCount")))
        for pod in pods
        for group in ("initContainerStatuses", "containerStatuses")
        for status in dig(pod, "status", group) or []
    )
    sources = []
    for _, pod, container, restarted in ranked[:most]:
        sources.append(LogSource(pod=pod, container=container))
        if restarted:
            sources.append(LogSource(pod=pod, container=container, previous=True))
    return sources


def _rank(status: dict[str, Any]) -> int:
    codes = [dig(status, state, "terminated", "exitCode") for state in ("state", "lastState")]
    if dig(status, "state", "waiting", "reason") == "CrashLoopBackOff" or any(codes):
        return 0
    if status.get("restartCount"):
        return 1
    if status.get("ready"):
        return 2
    # An init container that did its work says the least of all.
    return 4 if codes[0] == 0 else 1


async def read_log(client: KubeClient, namespace: str, source: LogSource, lines: int) -> tuple[str, bool]:
    """Return the redacted end of a log, and whether some of it was cut. ClusterError where there is none."""
    query = {"container": source.container, "tailLines": str(lines), "timestamps": "true"}
    if source.previous:
        query["previous"] = "true"
    # No limitBytes: the kubelet would keep the beginning of the tail, and the last line is what matters.
    path = f"{core_path(namespace, 'pods', source.pod)}/log"
    body = await client.get(Request(path=path, query=query, keep=READ_BYTES))
    cut = len(body) >= READ_BYTES or len(body) > KEPT_BYTES
    kept = body[-KEPT_BYTES:]
    if len(kept) < len(body):
        kept = kept.split(b"\n", 1)[-1]
    return clean(kept), cut


def clean(body: bytes) -> str:
    """Return a log as text that can be stored, printed and shown: no terminal commands, no secrets."""
    shown = _TERMINAL.sub("", body.decode("utf-8", "replace"))
    return redaction.text(_CONTROL.sub("", shown))
