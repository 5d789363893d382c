"""A ledger to read: one incident healed, two that wait for a person, one that a guard refuses, an alert without a rule.

Labels are as hostile as labels can be: they try to take over the terminal that shows them.
"""

from __future__ import annotations

from remediator.core.guardrails.opted_out import ANNOTATION
from remediator.model.rule import Matcher, MatchOp, Mode, Rule, Rung, Severity
from remediator.model.signal import Status
from tests.flow.rig import Rig, a_rule, alert, deployment, rig

EVIL = "Evil\x1b[2J\x1b]0;owned\x07\nINCIDENT \u202egnp.exe\x85"
HEALED, REFUSED = 1, 4
APPROVABLE, REJECTABLE = 2, 3
UNMATCHED = "NobodyKnowsMe"


async def tell(dsn: str) -> None:
    """Let it happen, on the real stages."""
    async with rig(dsn, *_rules()) as r:
        await _healed(r)
        for name in ("postgres", "replica"):
            r.put(deployment(name, 1))
            await r.deliver(alert(name, labels=_labels("DatabaseDown", name)))
            await r.settle()
        frozen = deployment("frozen")
        frozen["metadata"]["annotations"] = {ANNOTATION: "true"}
        r.put(frozen)
        await r.deliver(alert("frozen", labels={**_labels(EVIL, "frozen"), "team": "frost"}))
        await r.deliver(alert("nobody", labels={"alertname": UNMATCHED, "note": EVIL}))
        await r.settle()


async def _healed(r: Rig) -> None:
    r.put(deployment())
    await r.deliver(alert())
    await r.settle()
    r.rolled_out()
    await r.deliver(alert(status=Status.RESOLVED))
    await r.hasten()
    await r.hasten()


def _rules() -> tuple[Rule, ...]:
    looks = (Rung(action="investigate", parameters={"log_lines": 10}), Rung(action="restart", parameters={}))
    alone = (Rung(action="restart", parameters={"allow_single": True}),)
    return (
        a_rule(ladder=looks, evidence=True),
        a_rule(
            name="database-down", match=(_equal("alertname", "DatabaseDown"),), mode=Mode.ASK, ladder=alone,
            severity=Severity.P2,
        ),
        a_rule(name="frost", match=(_equal("team", "frost"),), severity=Severity.P3),
    )  # fmt: skip


def _equal(label: str, value: str) -> Matcher:
    return Matcher(label=label, op=MatchOp.EQUAL, value=value)


def _labels(name: str, workload: str) -> dict[str, str]:
    return {"alertname": name, "namespace": "backstage", "deployment": workload}
