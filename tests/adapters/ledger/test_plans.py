"""The plans of the hot statements on big tables: none reads more rows than its answer is worth.

The statements of the stages run as on the stages' connections: planned once, often on the first day, when all tables
are empty, and that plan must be right when they are full. Those that read for people are planned by the server's own
mind: such a statement is executed as often as it takes for the server to choose between a plan for these values and one
for any. What is counted are the rows that the scans looked at.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from remediator.adapters.ledger.pool import PLANNING
from remediator.adapters.ledger.queries import QUERIES
from tests.database_server import DatabaseServer

ROWS = 100_000
ACTIONS = 50_000
CHOSEN = 7
"""Executions after which the server has chosen: five are planned for their own values."""

FILL = f"""
INSERT INTO remediator.signals (source, fingerprint, status, starts_at, labels, annotations)
SELECT 'am', lpad(to_hex(n), 16, '0'), 'firing', '2026-01-01', '{{"a": "b"}}', '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.inbox (signal) SELECT id FROM remediator.signals WHERE id > {ROWS} - 1000;
INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, labels)
SELECT 'am', lpad(to_hex(n), 16, '0'), CASE WHEN n % 100 = 0 THEN 'firing' ELSE 'resolved' END, '2026-01-01', '{{}}'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.incidents (target_key, severity, state, rule, title, opened_at, check_at)
SELECT 'deployment/ns/app-' || n, 'P2', CASE WHEN n % 500 = 0 THEN 'open' ELSE 'resolved' END, 'r', 't',
       now() - make_interval(mins => {ACTIONS} - n), now() + make_interval(secs => n - 10000)
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
SELECT n, 'am', lpad(to_hex(n), 16, '0') FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.candidates
    (cause, rule, rung, source, fingerprint, labels, severity, state, incident, not_before)
SELECT 'signal', 'r', 0, 'am', lpad(to_hex(n), 16, '0'), '{{}}', 'P' || (n % 4 + 1),
       CASE WHEN n % 100 = 0 THEN 'held' ELSE 'decided' END, n, now() + make_interval(secs => n % 3 - 1)
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.actions
    (id, incident, candidate, rule, rung, action, mode, target_key, namespace, target, plan, changes, state,
     admitted_at, good_until, lease_until, check_at)
SELECT 'id-' || n, n, n, 'rule-' || n % 50, 0, 'restart', 'enforce', 'deployment/ns/app-' || n, 'ns-' || n % 50,
       '{{}}', '{{}}', true,
       CASE WHEN n % 1000 = 0 THEN 'admitted' WHEN n % 1000 = 1 THEN 'dispatched'
            WHEN n % 1000 = 2 THEN 'verifying' ELSE 'unchanged' END,
       now() - make_interval(mins => {ACTIONS} - n), now() + interval '1 hour', now() + interval '1 minute', now()
FROM generate_series(1, {ACTIONS}) AS n;
INSERT INTO remediator.ledger (kind, summary, incident, action, at)
SELECT 'alert.firing', 's', n / 10, n / 10, now() - make_interval(mins => {ROWS} - n)
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO remediator.outbox (payload, state) SELECT '{{}}', 'sent' FROM generate_series(1, 20000);
INSERT INTO remediator.outbox (payload) SELECT '{{}}' FROM generate_series(1, 5);
"""  # noqa: S608 - numbers of this file

SOURCES = "array_fill('am'::text, ARRAY[500])"
PRINTS = "ARRAY(SELECT lpad(to_hex(n * 100), 16, '0') FROM generate_series(1, 500) AS n)"
GIVEN = """(
    SELECT jsonb_agg(jsonb_build_object(
        'source', 'am', 'fingerprint', lpad(to_hex(n * 100), 16, '0'), 'status', 'firing', 'starts_at', '2026-01-01Z',
        'labels', '{}'::jsonb, 'annotations', '{}'::jsonb, 'generator_url', '', 'group_key', '', 'receiver', ''
    ))
    FROM generate_series(1, 500) AS n
)"""
STATES = """(
    SELECT jsonb_agg(jsonb_build_object(
        'source', 'am', 'fingerprint', lpad(to_hex(n * 100), 16, '0'), 'status', 'firing', 'starts_at', '2026-01-01Z',
        'changed_at', '2026-01-01Z', 'labels', '{}'::jsonb
    ))
    FROM generate_series(1, 500) AS n
)"""
FEW = "ARRAY['deployment/ns/app-1', 'deployment/ns/app-49000', 'deployment/ns/app-none']"
MANY = "ARRAY(SELECT n * 100 FROM generate_series(1, 64) AS n)"
SCOPES = (
    "ARRAY['target', 'rule', 'namespace', 'cluster', 'look']",
    "ARRAY['deployment/ns/app-9', 'rule-9', 'ns-9', '', 'investigate']",
    "ARRAY[3600, 3600, 3600, 3600, 120]",
)
OUTLOOK = ("600", "420", "ARRAY['KubeAPIDown', 'TargetDown']")
SETTLED = """(
    SELECT jsonb_agg(jsonb_build_object(
        'id', n * 100, 'state', 'decided', 'facts', '{}'::jsonb, 'reasons', '[]'::jsonb
    ))
    FROM generate_series(1, 64) AS n
)"""
INTENTS = """(
    SELECT jsonb_agg(jsonb_build_object(
        'place', n, 'number', n * 1000 + 1, 'fence', 0, 'state', 'dispatched', 'before_image', '{}'::jsonb,
        'ended', false, 'entry', jsonb_build_object('kind', 'k', 'summary', 's', 'actor', 'a')
    ))
    FROM generate_series(0, 31) AS n
)"""
DONE = "ARRAY(SELECT n * 1000 + 2 FROM generate_series(0, 31) AS n)"
LOOKS = ("array_fill(now(), ARRAY[32])", "array_fill(NULL::timestamptz, ARRAY[32])")
RULES = "array_fill('r'::text, ARRAY[64])"
NONE = "NULL::text"

# The values of each statement, and how many rows all its scans together may look at: what its answer is worth.
HOT: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("put_signals", (GIVEN, "500"), 0),
    ("take_signals", ("500", "8"), 1600),
    ("count_waiting", ("200001",), 1100),
    ("record_matched", (STATES, "'[]'", "'[]'", "ARRAY(SELECT generate_series(99501, 100000))", "0"), 1100),
    ("hasten_incidents", (SOURCES, PRINTS), 2100),
    ("hasten_verification", (SOURCES, PRINTS), 2100),
    ("take_candidates", ("64", "60"), 700),
    ("read_admission", (MANY, "array_fill(0, ARRAY[64])", RULES, PRINTS, FEW, "ARRAY[7, 8]", *SCOPES, *OUTLOOK), 540),
    ("record_decisions", ("'[]'", "'[]'", "'[]'", SETTLED, "ARRAY[500, 1000]", "'[]'", "'[]'", "false", "true"), 170),
    ("claim_actions", ("16", "'me'", "90"), 200),
    ("renew_lease", ("1001", "0", "90"), 10),
    ("move_actions", (INTENTS,), 140),
    ("due_actions", ("64", "30"), 600),
    ("look_again_at_actions", (DONE, "array_fill(0, ARRAY[32])", *LOOKS), 70),
    ("look_again_at_incidents", (DONE, *LOOKS), 70),
    ("due_incidents", ("64", "30"), 400),
    ("resolve_incident", ("500",), 10),
    ("drop_leftovers", ("500",), 10),
    ("fires_again", ("500",), 10),
    ("take_outbox", ("16", "60"), 40),
)
# The same of those that people read by, whose values say which of several indexes is the right one.
READ: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("read_entries", ("0", NONE, "777", NONE, "500"), 30),
    ("read_entries", ("0", NONE, NONE, "777", "500"), 30),
    ("read_entries", ("90000", NONE, NONE, NONE, "500"), 510),
    ("read_last_entries", ("500", NONE, "777", NONE), 30),
    ("read_last_entries", ("500", NONE, NONE, "777"), 30),
    ("read_last_entries", ("500", NONE, NONE, NONE), 510),
    ("read_last_entries", ("500", "now() - interval '1 hour'", NONE, NONE), 200),
    ("look_at_seals", ("1",), 10),
    ("read_head", (), 5),
    ("read_stored", ("50000", "100000", "250"), 260),
    ("read_recorded", ("now() - interval '100 hours'", "0", "now() - interval '1 hour'", "250"), 300),
    ("read_recorded", ("'2026-01-01'", "0", "NULL::timestamptz", "250"), 300),
    ("read_seals", ("0", "20"), 30),
    ("count_unsealed", ("99000", "100000"), 1010),
    ("read_actions_of_incident", ("777",), 10),
    ("read_evidence", ("777",), 10),
)


MIND = ("SELECT 1", "; ".join(f"SET {name} = {value}" for name, value in PLANNING.items()))

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(scope="module")
def big(postgres_server: DatabaseServer) -> Iterator[str]:
    """A database with the rows of some busy months."""
    yield postgres_server.create("big")
    postgres_server.drop("big")


@pytest.fixture
async def filled(big: str) -> AsyncIterator[Connection]:
    """A connection to it, as its owner; filled for whoever comes first."""
    connection = await asyncpg.connect(big)
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM remediator.ledger)"):
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '64MB'")
        await connection.execute(FILL)
        await connection.execute("ANALYZE")
    yield connection
    await connection.close()


def scans(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what each scan of a plan read from and how many rows of it were looked at."""
    looked = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    # What a bitmap index scan finds is looked at, and counted, in the bitmap heap scan above it.
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        name = f"{node['Node Type']} {node.get('Index Name') or node['Relation Name']}"
        yield name, looked * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from scans(inner)


async def looked_at(connection: Connection, name: str, values: tuple[str, ...]) -> dict[str, float]:
    """Execute a statement until its plan is chosen; return the rows that each scan of the chosen plan looked at."""
    await connection.execute(f"PREPARE it AS {QUERIES[name]}")
    found: dict[str, float] = {}
    for _ in range(CHOSEN):
        found = await explained(connection, "it", values)
    await connection.execute("DEALLOCATE it")
    return found


async def explained(connection: Connection, prepared: str, values: tuple[str, ...]) -> dict[str, float]:
    """Execute a prepared statement once, without effect; return the rows that each scan of its plan looked at."""
    given = [await connection.fetchval(f"SELECT quote_nullable(({value})::text)") for value in values]
    arguments = f"({', '.join(given)})" if given else ""
    turn = connection.transaction()
    await turn.start()
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE {prepared}{arguments}")
    await turn.rollback()
    found: dict[str, float] = {}
    for scan, rows in scans(json.loads(text)[0]["Plan"]):
        found[scan] = found.get(scan, 0) + rows
    return found


def hold(found: dict[str, float], worth: int) -> None:
    """Check that nothing was looked at in vain."""
    assert all("Seq Scan" not in scan or rows == 0 for scan, rows in found.items()), found
    assert sum(found.values()) <= worth, found


@pytest.mark.parametrize("ours", [True, False], ids=["planned-once", "planned-by-the-server"])
@pytest.mark.parametrize(("name", "values", "worth"), HOT, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_hot_statement_looks_at_what_it_needs(
    filled: Connection, name: str, values: tuple[str, ...], worth: int, ours: bool
) -> None:
    """On a hundred thousand rows; as on our connections, and as behind a pooler, where nothing can be set."""
    await filled.execute(MIND[ours])
    hold(await looked_at(filled, name, values), worth)


@pytest.mark.parametrize(("name", "values", "worth"), READ, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_reader_of_the_ledger_looks_at_what_it_needs(
    filled: Connection, name: str, values: tuple[str, ...], worth: int
) -> None:
    """By whichever plan the server settles for."""
    hold(await looked_at(filled, name, values), worth)


async def test_a_plan_of_the_first_day_is_right_on_the_hundredth(database: str) -> None:
    """A connection may live for months, and plans when it first asks; nobody has counted the rows since."""
    connection = await asyncpg.connect(database)
    await connection.execute(MIND[True])
    for name, values, _ in HOT:
        await connection.execute(f"PREPARE {name} AS {QUERIES[name]}")
        if name != "put_signals":
            await explained(connection, name, values)
    await connection.execute("SET synchronous_commit = off")
    await connection.execute(FILL)
    wrong: dict[str, dict[str, float]] = {}
    for name, values, worth in HOT:
        found = await explained(connection, name, values)
        if sum(found.values()) > worth:
            wrong[name] = found
    assert not wrong
    await connection.close()


async def test_a_statement_without_an_index_is_found_so(filled: Connection) -> None:
    """What the test above relies on."""
    turn = filled.transaction()
    await turn.start()
    await filled.execute("DROP INDEX remediator.ledger_by_incident")
    found = await looked_at(filled, "read_last_entries", ("500", NONE, "777", NONE))
    await turn.rollback()
    assert sum(found.values()) > ROWS / 2
