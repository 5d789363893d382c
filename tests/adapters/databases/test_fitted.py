"""From the settings to the databases: faults of what the file names, Secrets by reference, and never our own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.late import LateCluster
from remediator.fittings import beside_databases, database_entries
from remediator.model.errors import ConfigError
from remediator.settings import load_settings
from tests.adapters.databases.patient import POSTGRES, Patient
from tests.adapters.databases.test_entries import GOOD


def test_a_password_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    """With the file, the database and the password file; where all is well the entries come back."""
    path = tmp_path / "databases.toml"
    path.write_text(GOOD)
    settings = load_settings({"databases": str(path)}, {})
    with pytest.raises(ConfigError, match=r"toml:9: database backstage: .*backstage\.password: cannot be read"):
        database_entries(settings)
    (tmp_path / "backstage.password").write_text("x")
    assert [one.name for one in database_entries(settings)] == ["backstage", "portal"]
    assert database_entries(load_settings({}, {})) == ()


async def test_the_server_of_our_own_ledger_is_refused(sick: Patient) -> None:
    """Whatever it is called in the file: it is known by its system identifier."""
    cluster = LateCluster(access=None, limits=None, clock=SystemClock(), tell=lambda _, __: None)
    seen = await beside_databases((sick.entry,), sick.dsn, cluster, cluster.secret)
    assert seen.databases is not None
    view = await seen.databases.look(POSTGRES)
    assert view is not None
    assert "our own ledger" in view.problem
    none = await beside_databases((), sick.dsn, cluster, cluster.secret)
    assert none.databases is None
