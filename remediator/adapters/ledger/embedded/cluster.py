"""Make a PostgreSQL cluster once, whole or not at all, and recognise the one that is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.adapters.ledger.embedded import binaries, identity, process
from remediator.adapters.ledger.embedded.binaries import Binaries
from remediator.adapters.ledger.embedded.identity import Identity
from remediator.adapters.ledger.embedded.places import Places
from remediator.model.errors import ConfigError, LedgerError

DATABASE = "remediator"
ROLE = "remediator"
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A data directory that is ready to be served: by which programs and as whom."""

    path: Path
    binaries: Binaries
    identity: Identity


async def ready(places: Places, environ: Mapping[str, str], *, seconds: float) -> Cluster:
    """The cluster in ``places``, made now when there is none; each program gets ``seconds``.

    Raises ConfigError when its PostgreSQL version is not on this machine or the folder holds something else, and
    LedgerError when initdb fails.
    """
    major = _version(places.cluster)
    found = binaries.find(environ) if major is None else _for_existing(environ, major, places.cluster)
    who = identity.choose(places.cluster)
    if who.kind == "map" and not await _namespaces(who, found, seconds):
        who = identity.fallback()
        identity.hand_over(places.root, who)
    if who.kind == "drop":
        identity.check_reach(who, places.root, found.folder)
    if major is None:
        if who.kind == "drop":
            identity.hand_over(places.root, who)
        await _make(places, found, who, seconds)
    elif places.cluster.stat().st_mode & 0o777 != _PRIVATE:
        # A volume's fsGroup adds group rights on every mount, and the server then refuses to start.
        places.cluster.chmod(_PRIVATE)
    return Cluster(path=places.cluster, binaries=found, identity=who)


def _version(cluster: Path) -> int | None:
    if not cluster.exists():
        return None
    try:
        return int((cluster / "PG_VERSION").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{cluster} is not a PostgreSQL data directory ({error}): move it away, or choose another state folder"
        ) from error


def _for_existing(environ: Mapping[str, str], major: int, cluster: Path) -> Binaries:
    try:
        return binaries.find(environ, major)
    except ConfigError as error:
        raise ConfigError(
            f"the database in {cluster} was made by PostgreSQL {major}. {error} A newer PostgreSQL cannot open it: "
            f"dump it with PostgreSQL {major}'s pg_dumpall, move the folder away, start once, and load the dump"
        ) from error


async def _namespaces(who: Identity, found: Binaries, seconds: float) -> bool:
    done = await process.run(who, [found.postgres, "-V"], seconds=seconds)
    return done.code != process.NAMESPACES_FORBIDDEN


async def _make(places: Places, found: Binaries, who: Identity, seconds: float) -> None:
    """Run initdb in a folder beside, then rename: a cluster killed while it was made is never taken for a whole one."""
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=places.root))
    if who.kind == "drop":
        os.chown(fresh, who.uid, who.gid)
    try:
        # The only way in is a socket in a folder that nobody else may enter, hence trust.
        await _checked(
            who,
            [
                *(found.initdb, "--pgdata", str(fresh), "--username", ROLE, "--encoding", "UTF8", "--locale", "C"),
                *("--auth", "trust", "--data-checksums", "--no-sync"),
            ],
            seconds,
        )
        await _add_database(fresh, found, who, seconds)
        # Everything is flushed once, at the end.
        await _checked(who, [found.initdb, "--sync-only", "--pgdata", str(fresh)], seconds)
        _keep(fresh, places)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


async def _add_database(fresh: Path, found: Binaries, who: Identity, seconds: float) -> None:
    statement = f"CREATE DATABASE {DATABASE}\n"
    command = [found.postgres, "--single", "-D", str(fresh), "-c", "fsync=off", "postgres"]
    await _checked(who, command, seconds, stdin=statement)


async def _checked(who: Identity, command: list[str], seconds: float, stdin: str = "") -> None:
    try:
        done = await process.run(who, command, seconds=seconds, stdin=stdin)
    except TimeoutError as error:
        raise LedgerError(
            "unavailable", f"{command[0]} did not finish within {seconds:.0f} s: is the disk stuck?", retryable=True
        ) from error
    # A failed statement does not change single-user mode's exit code.
    if done.code != 0 or "ERROR:" in done.output or "FATAL:" in done.output:
        raise LedgerError("unavailable", f"{command[0]} failed (exit {done.code}): {done.output.strip()[-800:]}")


def _keep(fresh: Path, places: Places) -> None:
    fresh.rename(places.cluster)
    descriptor = os.open(places.root, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
