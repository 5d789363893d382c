"""Writes small rule files for tests and says what is wrong with them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from remediator.model.rule import Rule
from remediator.rulebook.faults import Fault, RulebookRejected
from remediator.rulebook.load import assemble
from remediator.rulebook.loaded import Loaded
from remediator.rulebook.sources import Source

RULE = """
rules:
  - name: one
    match: ['alertname="A"', 'namespace="backstage"']
    severity: P3
    ladder: [notify]
"""


def loaded(text: str, cases: str = "") -> Loaded:
    """Load one file of rules, and one of cases."""
    sources = [Source(file="r.yaml", raw=textwrap.dedent(text).encode())]
    if cases:
        sources.append(Source(file="r.cases.yaml", raw=textwrap.dedent(cases).encode()))
    return assemble(sources)


def only_rule(text: str) -> Rule:
    """Return the only rule of a file."""
    [rule] = loaded(text).rules.rules
    return rule


def faults(text: str | bytes, cases: str = "") -> list[str]:
    """Return the faults of one file of rules as ``line:column message``; none if it can be loaded."""
    raw = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
    sources = [Source(file="r.yaml", raw=raw)]
    if cases:
        sources.append(Source(file="r.cases.yaml", raw=textwrap.dedent(cases).encode()))
    try:
        assemble(sources)
    except RulebookRejected as rejected:
        return [short(fault) for fault in rejected.faults]
    return []


def short(fault: Fault) -> str:
    """Return a fault without its file."""
    return f"{fault.place.line}:{fault.place.column} {fault.message}"


def rule_text(name: str, *, alert: str = "A", extra: str = "") -> str:
    """Return the text of one entry under ``rules:``."""
    entry = f"""
      - name: {name}
        match: ['alertname="{alert}"', 'namespace="backstage"']
        severity: P3
        ladder: [notify]
    """
    return textwrap.indent(textwrap.dedent(entry).strip(), "  ") + (f"\n    {extra}" if extra else "") + "\n"


def write_rules(path: Path, *names: str) -> None:
    """Write a file with a rule of each name."""
    path.write_text("rules:\n" + "".join(rule_text(name) for name in names), encoding="utf-8")
