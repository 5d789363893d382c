"""``remediator check RULES...``: the rules as a table, what is odd about them, their cases; or every fault."""

from __future__ import annotations

import argparse
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from remediator.cli.exits import Exit
from remediator.cli.paint import Paint, paint_for, safe, spelt_json, table
from remediator.model.freeze import Freeze
from remediator.model.rule import Limits, Rule
from remediator.rulebook.duration import duration_text, rate_text
from remediator.rulebook.faults import Fault, RulebookRejected
from remediator.rulebook.ladder import rung_text
from remediator.rulebook.load import load
from remediator.rulebook.loaded import CaseResult, Loaded

HEAD = ["RULE", "MATCHES, TARGET", "LADDER, LIMITS"]
WIDEST = 48
"""Characters of a matcher in the table; ``--json`` has all of it."""
_SCOPES = ("per_target", "per_rule", "per_namespace", "per_cluster")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "rules", nargs="+", type=Path, metavar="RULES", help="rule files, or directories of them with their cases"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Check the files; return 0, or 2 when they have faults, all of which are printed."""
    try:
        loaded = load(args.rules)
    except RulebookRejected as rejected:
        print(_faults_as_json(rejected) if args.json else _faults_as_text(rejected, paint_for(sys.stdout)))
        return Exit.FAULTY
    print(_as_json(loaded) if args.json else "\n".join(_as_text(loaded, paint_for(sys.stdout))))
    return Exit.OK


def _as_text(loaded: Loaded, paint: Paint) -> list[str]:
    rules = loaded.rules.rules
    head, rule, *rows = table([line for rule in rules for line in [*_rows(rule), [""] * len(HEAD)]], HEAD)
    lines = [paint(head, "bold"), paint(rule, "dim"), *rows]
    lines += [f"{paint('warning', 'yellow')} {safe(str(warning))}" for warning in loaded.warnings]
    lines += [f"{paint('case', 'green')}    {case.place}: {safe(case.name)}: as expected" for case in loaded.cases]
    if loaded.warnings or loaded.cases:
        lines.append("")
    lines += [f"{paint('freeze', 'cyan')}  {one.place}: {safe(freeze_text(one))}" for one in loaded.rules.freezes]
    if loaded.rules.freezes:
        lines.append("")
    counts = [_count(len(rules), "rule"), _count(len(loaded.warnings), "warning"), _count(len(loaded.cases), "case")]
    lines.append(f"{', '.join(counts)}; digest {loaded.rules.digest[:12]}")
    return lines


def freeze_text(freeze: Freeze) -> str:
    """Return a freeze in one line."""
    when = f"{freeze.begins} to {freeze.ends}" if freeze.begins else f"'{freeze.cron}' {freeze.timezone}"
    lasts = f" for {duration_text(freeze.length_s)}" if freeze.length_s else ""
    return f"{freeze.name}: {when}{lasts}, {', '.join(freeze.namespaces) or 'everywhere'}"


def _rows(rule: Rule) -> list[list[str]]:
    """Return a rule as lines of the table: narrow enough for a terminal, so facts stand one below the other."""
    place = f"{'|'.join(rule.target.namespaces)}/{rule.target.name or '*'}"
    cells = [
        [rule.name, f"{rule.severity.value}, {rule.mode.value}", rule.place],
        [*(_cut(str(matcher)) for matcher in rule.match), f"on {'|'.join(rule.target.kinds)}", f"   {place}"],
        [*(rung_text(rung) for rung in rule.ladder), *_limits(rule.limits)],
    ]
    return [[safe(cell) for cell in row] for row in zip_longest(*cells, fillvalue="")]


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _limits(limits: Limits) -> list[str]:
    """Return the cooldown, and those of the other limits that are not at their default."""
    defaults = Limits()
    changed = [
        f"{scope.replace('_', ' ')} {rate_text(getattr(limits, scope))}"
        for scope in _SCOPES
        if getattr(limits, scope) != getattr(defaults, scope)
    ]
    return [f"cooldown {duration_text(limits.cooldown_s)}", *changed]


def _faults_as_text(rejected: RulebookRejected, paint: Paint) -> str:
    lines = [f"{paint(safe(str(fault.place)), 'bold')}: {safe(fault.message)}" for fault in rejected.faults]
    return "\n".join([*lines, "", f"{_count(len(rejected.faults), 'fault')}; nothing was loaded"])


def _as_json(loaded: Loaded) -> str:
    return _json(
        ok=True,
        digest=loaded.rules.digest,
        rules=[_rule_as_data(rule) for rule in loaded.rules.rules],
        warnings=[_fault_as_data(warning) for warning in loaded.warnings],
        cases=[_case_as_data(case) for case in loaded.cases],
        faults=[],
    )


def _faults_as_json(rejected: RulebookRejected) -> str:
    faults = [_fault_as_data(fault) for fault in rejected.faults]
    return _json(ok=False, digest=None, rules=[], warnings=[], cases=[], faults=faults)


def _json(**fields: Any) -> str:
    return msgspec.json.format(spelt_json(msgspec.json.encode(fields).decode()), indent=2)


def _rule_as_data(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(rule)
    return data | {"match": [str(matcher) for matcher in rule.match]}


def _fault_as_data(fault: Fault) -> dict[str, Any]:
    place = fault.place
    return {"file": place.file, "line": place.line, "column": place.column, "message": fault.message}


def _case_as_data(case: CaseResult) -> dict[str, Any]:
    return {"file": case.place.file, "line": case.place.line, "name": case.name, "ok": not case.problem}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
