"""Rules change under the running daemon: all of a good set, none of a broken one, and the ledger says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import RULES
from tests.acceptance.scene import Scene, body

GOOD = (RULES / "acceptance.yaml").read_text(encoding="utf-8")
NEW_RULE = """
  - name: queue-full
    match: ['alertname="QueueFull"', 'namespace="backstage"']
    severity: P3
    ladder: [investigate]
"""


def _mount(folder: Path, version: str, text: str) -> None:
    """Lay the rules out as a mounted ConfigMap: files are links into ..data, and ..data is swapped at once."""
    (folder / version).mkdir(parents=True)
    (folder / version / "rules.yaml").write_text(text, encoding="utf-8")
    draft = folder / "..data_tmp"
    draft.symlink_to(version)
    draft.replace(folder / "..data")
    if not (folder / "rules.yaml").is_symlink():
        (folder / "rules.yaml").symlink_to("..data/rules.yaml")


async def test_a_config_map_is_swapped(scene: Scene) -> None:
    """A broken version changes nothing and is recorded with its fault; a good one counts from then on."""
    rules = scene.folder / "rules"
    _mount(rules, "..v1", GOOD)
    daemon = scene.daemon(rules=rules)
    await daemon.start()
    loaded = (await scene.entries(EntryKind.RULES_LOADED))[-1]
    assert "4 rules" in loaded.summary

    _mount(rules, "..v2", GOOD.replace("severity: P1", "severity: P9"))
    await scene.until_kind(EntryKind.RULES_REJECTED)
    (rejected,) = await scene.entries(EntryKind.RULES_REJECTED)
    assert f"{rules / 'rules.yaml'}:7:" in rejected.summary
    assert "P9" in rejected.summary
    assert "last good rules stay in force" in rejected.summary
    await _post(scene, daemon.url, "SlowAnswers")
    await scene.until_kind(EntryKind.INCIDENT_OPENED, 1)

    await _post(scene, daemon.url, "QueueFull")
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 1)
    _mount(rules, "..v3", GOOD + NEW_RULE)
    await scene.until_kind(EntryKind.RULES_LOADED, 2)
    newest = (await scene.entries(EntryKind.RULES_LOADED))[-1]
    assert "5 rules" in newest.summary
    assert newest.data["digest"] != loaded.data["digest"]
    await _post(scene, daemon.url, "QueueFull", instance="another")
    await scene.until("the new rule is in force", lambda: _ruled(scene, "queue-full"))


@pytest.mark.parametrize("what", ["removed", "emptied"])
async def test_rules_that_vanish_stay_in_force(scene: Scene, what: str) -> None:
    """The file goes away, or all its rules do: that is a fault too, and what was in force stays so."""
    rules = scene.folder / "rules"
    rules.mkdir()
    file = rules / "rules.yaml"
    file.write_text(GOOD, encoding="utf-8")
    daemon = scene.daemon(rules=rules)
    await daemon.start()
    if what == "removed":
        file.unlink()
    else:
        file.write_text("rules: []\n", encoding="utf-8")
    await scene.until_kind(EntryKind.RULES_REJECTED)
    await _post(scene, daemon.url, "SlowAnswers")
    await scene.until("the old rule is in force", lambda: _ruled(scene, "look-only"))


async def _post(scene: Scene, url: str, name: str, **labels: str) -> None:
    alert = {"alertname": name, "namespace": "backstage", "deployment": "backstage", **labels}
    document = body([alert], SystemClock().now())
    token = (scene.folder / "daemon" / "webhook-token").read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with scene.http.post(f"{url}/", json=document, headers=headers) as answer:
        assert answer.status == 200


async def _ruled(scene: Scene, rule: str) -> bool:
    found = await scene.entries(EntryKind.DECISION_ACT, EntryKind.DECISION_OBSERVE, EntryKind.DECISION_HOLD)
    return any(entry.rule == rule for entry in found)
