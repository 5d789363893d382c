"""The API server's own record and the ledger, joined both ways: no write without an entry, no effect without both."""

from __future__ import annotations

import re
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from aiohttp import web

from remediator.flow.parts import Bounds
from remediator.model.entry import Entry, EntryKind
from remediator.model.rule import Matcher, MatchOp, Mode, Rule, Rung
from remediator.model.signal import Signal
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.requestlog import RequestRecord
from remediator.sandbox.resources import DEPLOYMENTS
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_doubt import status_body
from tests.flow.test_flow import step

QUICK = Bounds(poll_s=0.05, facts_deadline_s=5.0, doubt_s=1.0, write_tries=3)
AGENT = re.compile(r"remediator/\S+ action/(\d+) fence/(\d+) id/([0-9a-f]{40})")


class Key(NamedTuple):
    """What a write and the entry about it have in common: which action, under which fence, on which version."""

    number: int
    action_id: str
    fence: int
    target: str
    version: str


@dataclass
class Weather:
    """Stands before the API: what becomes of the writes to each Deployment, one word for each write in turn."""

    plans: dict[str, list[str]]
    rig: Rig | None = None

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Pass, refuse, or lose a request or its answer."""
        name = call.path.rpartition("/")[2]
        plan = self.plans.get(name, [])
        if call.method != "PATCH" or call.query.get("dryRun") or not plan:
            return await proceed()
        match plan.pop(0):
            case "lost answer":
                await proceed()
                return _gone(call)
            case "lost request":
                return _gone(call)
            case "moved":
                # Somebody else writes in between, so ours comes too late by itself.
                assert self.rig is not None
                live = deepcopy(self.rig.live(name))
                live["metadata"]["labels"] = {**live["metadata"]["labels"], "touched": "yes"}
                self.rig.sandbox.store.update(DEPLOYMENTS, live)
                return await proceed()
            case code:
                return web.json_response(status_body(int(code)), status=int(code))


def _gone(call: Call) -> web.Response:
    assert call.http.transport is not None
    call.http.transport.close()
    return web.Response(status=500)


def key_of_write(record: RequestRecord) -> Key:
    """Return a write's key; that all the places that name its action name the same one is checked."""
    found = AGENT.fullmatch(record.user_agent)
    assert found is not None, record.user_agent
    metadata = record.body["metadata"]
    number, fence, action_id = int(found[1]), int(found[2]), found[3]
    assert record.query["fieldManager"] == f"remediator-a{number}"
    assert metadata["annotations"] == {"remediator.io/action": action_id, "remediator.io/fence": str(fence)}
    name = record.path.rpartition("/")[2]
    return Key(number, action_id, fence, f"deployment/backstage/{name}", metadata["resourceVersion"])


def key_of_intent(entry: Entry) -> Key:
    """Return the key of an entry that tells of a write about to be sent."""
    assert entry.action is not None
    data: dict[str, Any] = entry.data
    return Key(entry.action, data["action_id"], data["fence"], entry.target_key, data["resource_version"])


def fires(name: str) -> Signal:
    """Return the alert about one Deployment."""
    names = {"observed": "Observed", "scaled": "Scaled"}
    labels = {"alertname": names.get(name, "BackstageDown"), "namespace": "backstage", "deployment": name}
    return alert(name, labels=labels)


def rules() -> tuple[Rule, ...]:
    """Return rules that restart, scale and only observe."""

    def by(name: str) -> tuple[Matcher, ...]:
        return (Matcher(label="alertname", op=MatchOp.EQUAL, value=name),)

    up = (Rung(action="scale", parameters={"to": 5}),)
    return (
        a_rule(),
        a_rule(name="observe", match=by("Observed"), mode=Mode.OBSERVE),
        a_rule(name="scale", match=by("Scaled"), ladder=up),
    )


PLANS = {
    "plain": [],
    "scaled": [],
    "observed": [],
    "conflict": ["409", "409"],
    "moved": ["moved"],
    "busy": ["429", "503"],
    "answer": ["lost answer"],
    "request": ["lost request"],
    "unclear": ["500"],
    "forbidden": ["403"],
    "never": ["409"] * 50,
}
DONE = {"plain", "scaled", "conflict", "moved", "busy", "answer", "request", "unclear"}


async def test_every_write_joins_to_one_entry_and_every_effect_to_one_write(database: str) -> None:
    """Whatever the network and the API server make of the writes. The API server's own record is the measure."""
    async with rig(database, *rules(), bounds=QUICK) as r:
        r.sandbox.middlewares.append(Weather({name: list(plan) for name, plan in PLANS.items()}, r))
        for name in PLANS:
            r.put(deployment(name))
        await r.deliver(*(fires(name) for name in PLANS))
        await r.settle(40.0)
        writes = [record for record in r.sandbox.requests if record.is_write]
        intents = await entries(r, EntryKind.ACTION_DISPATCHED)

        sent = Counter(map(key_of_write, writes))
        intended = Counter(map(key_of_intent, intents))
        assert sum(sent.values()) > len(DONE)
        assert sent - intended == Counter(), "a write that no entry speaks of"
        # What was intended and never sent would be an entry of a daemon that died in between: none died here.
        assert intended == sent

        # An effect is what the object shows: one generation more, and the mark of the action.
        applied = {
            entry.target_key.rpartition("/")[2]: entry.data for entry in await entries(r, EntryKind.ACTION_APPLIED)
        }
        assert len(applied) == len(await entries(r, EntryKind.ACTION_APPLIED))
        assert set(applied) == DONE
        for name in PLANS:
            metadata = r.live(name)["metadata"]
            assert metadata["generation"] == 1 + (name in DONE)
            assert marked(metadata) == (applied[name]["action_id"] if name in DONE else "")
        stored = Counter(key_of_write(record).action_id for record in writes if record.status == 200)
        assert set(stored.values()) == {1}
        assert set(stored) | {applied["answer"]["action_id"]} == {data["action_id"] for data in applied.values()}

        for record in writes:
            assert before(intents, key_of_write(record)) <= record.at


async def test_a_dry_run_is_no_write_and_says_whose_it_is(database: str) -> None:
    """It carries the same marks; the ledger has it as observed."""
    async with rig(database, *rules(), bounds=QUICK) as r:
        r.put(deployment("observed"))
        await r.deliver(fires("observed"))
        await r.settle()
        (tried,) = [record for record in r.sandbox.requests if record.method == "PATCH"]
        assert (tried.is_write, tried.changed, tried.query["dryRun"]) == (False, False, "All")
        (observed,) = await entries(r, EntryKind.ACTION_OBSERVED)
        assert observed.action == key_of_write(tried).number
        assert await entries(r, EntryKind.ACTION_DISPATCHED, EntryKind.ACTION_APPLIED) == []


def marked(metadata: dict[str, Any]) -> str:
    """Return the id of the action that an object says it was changed by, "" if none has."""
    return str(metadata.get("annotations", {}).get("remediator.io/action", ""))


async def entries(r: Rig, *kinds: EntryKind) -> list[Entry]:
    """Return the entries of some kinds."""
    return [entry for entry in await r.entries(limit=5000) if entry.kind in kinds]


def before(intents: list[Entry], key: Key) -> datetime:
    """Return when the intent of a write was written down."""
    return min(entry.at for entry in intents if key_of_intent(entry) == key)


async def test_what_cannot_be_written_down_is_not_done(database: str) -> None:
    """No entry, no write: the right to add to the ledger is gone between the decision and the write."""
    async with rig(database, bounds=QUICK) as r:
        r.put(deployment())
        await r.deliver(alert())
        for stage in ("match", "assess", "admit"):
            await step(r, stage)
        assert await r.states() == ["admitted"]
        await r.sql.execute("REVOKE INSERT ON remediator.ledger FROM remediator_app")
        await step(r, "execute")
        assert r.ear.outcomes("execute")[0] == "interrupted"
        assert [record for record in r.sandbox.requests if record.method == "PATCH"] == []
        # Allowed again, it is done, once.
        await r.sql.execute("GRANT INSERT ON remediator.ledger TO remediator_app")
        await r.sql.execute("UPDATE remediator.actions SET lease_until = now() - interval '1 s'")
        await step(r, "execute")
        assert len(r.writes()) == 1
        assert len(await entries(r, EntryKind.ACTION_DISPATCHED)) == 1
