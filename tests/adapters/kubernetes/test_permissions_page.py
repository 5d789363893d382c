"""docs/reference/permissions.md names what is asked of the API server: whoever applies it is refused nothing."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from remediator.adapters.kubernetes.names import PLURALS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "permissions.md").read_text(encoding="utf-8")
CODE = ROOT / "remediator" / "adapters" / "kubernetes"
IN_CODE = re.compile(r"""\b(?:core_path|apps_path)\([^,()]+(?:\([^()]*\))?, ["'](\w+)["']""")
# Asked for by rules that scale alone; their page names them.
OF_SCALING = {"resourcequotas", "limitranges"}
# Only where an operator names one: to be granted by its name, which the page says, and never as a whole.
BY_NAME = {"secrets"}


def granted() -> dict[str, set[str]]:
    """The verbs of the page by resource of the core group and of apps."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    rules = [rule for block in blocks for rule in yaml.safe_load(block)["rules"]]
    return {
        resource: set(rule["verbs"])
        for rule in rules
        if set(rule["apiGroups"]) & {"", "apps"}
        for resource in rule["resources"]
    }


def test_all_that_is_asked_for_is_granted() -> None:
    """Every collection that the code has a path for, and the workloads themselves."""
    asked = {found for file in CODE.glob("*.py") for found in IN_CODE.findall(file.read_text(encoding="utf-8"))}
    assert {"pods", "events", "replicasets", "controllerrevisions"} <= asked
    assert (asked | set(PLURALS.values())) - OF_SCALING - BY_NAME <= set(granted())
    assert BY_NAME.isdisjoint(granted())
    assert "`password_secret`: each needs `get` on that very Secret" in PAGE


def test_only_workloads_are_written_to() -> None:
    """Patched, never made or deleted."""
    verbs = granted()
    assert {resource for resource in verbs if "patch" in verbs[resource]} == set(PLURALS.values())
    assert set().union(*verbs.values()) == {"get", "list", "patch"}
