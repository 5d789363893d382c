"""The reference page of rule files, written from the schema, so that it cannot say anything else than the code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from remediator.actions.catalogue import ACTIONS
from remediator.rulebook.document import DEEPEST
from remediator.rulebook.load import MOST_RULES
from remediator.rulebook.parse import MOST_ENTRIES
from remediator.rulebook.schema import case_file_schema, rule_file_schema
from remediator.rulebook.sources import LARGEST_FILE, MOST_FILES
from remediator.rulebook.watch import ALLOW_REMOVAL

_HEAD = f"""# Rule files

<!-- Made by `remediator schema --markdown`; a test compares. Change the code, then make it anew. -->

A directory of rule files (`*.yaml`, `*.yml`; hidden ones and subfolders are not read) is one rule set: all of it is
good, or none of it is loaded. `remediator check DIRECTORY` says what is wrong, each fault as
`file:line:column: what, and what to do`. `remediator schema` prints the JSON Schema for editors.

A file holds `rules:`, `thresholds:`, `freezes:`, or several of them. It is UTF-8, one YAML document of at most
{LARGEST_FILE // 2**20} MiB and
{MOST_ENTRIES} entries a list, nested at most {DEEPEST} deep; a directory holds at most {MOST_FILES} files, and all
files together {MOST_RULES} rules. YAML is read as YAML 1.2 reads it: `yes` and `1:30` are texts. Duplicate keys, tags
and merge keys are faults.

Durations are written as in Prometheus, in whole seconds: `90s`, `10m`, `1h30m`, at most 30 days. Rates are `3/1h`: at
most 3 in any hour. Matchers are Alertmanager's: `label="value"` with `=`, `!=`, `=~` or `!~`; a missing label counts as
empty; regular expressions are RE2's and anchored at both ends. At least one matcher of a rule must fail on a missing
label. Alerts with `severity="none"` match no rule.
"""

_TAIL = f"""
## Reload

The directory is watched. A change is read once the files are quiet, checked, and its cases are tried; only then it
replaces the rules in force, all at once. A change with a fault leaves the last good rules in force and says so. A
change that would drop more than half of the rules is refused, unless the directory holds a file `{ALLOW_REMOVAL}`.

## Warnings

`remediator check` also says what is valid and odd: a cooldown too short to see the effect, a rule that every alert has
to be compared with, matchers that cannot all hold, an expression that is a plain value or anchored twice, a P1 rule
that does not end by telling people, the same step twice in a row, a source that can never be chosen, milliseconds in a
row of seconds.
"""


def reference_text() -> str:
    """Return docs/reference/rules.md."""
    rules = rule_file_schema()["$defs"]
    cases = case_file_schema()["$defs"]
    parts = [_HEAD]
    parts += _section("A rule", "Under `rules:`.", rules["RuleShape"], rules)
    own = {"expr", "sources", "source", "unit", "warning", "critical", "for", "alerts", "match", "recover"}
    parts += _section(
        "A row of the threshold table",
        "Under `thresholds:`. It has the fields of a rule, and these; `match` may be left out. Each row becomes a rule"
        " that alerts of the row's own name, and of those in `alerts`, set off.",
        _only(rules["ThresholdShape"], own),
        rules,
    )
    parts += _section(
        "`sources`",
        "One entry for each kind of monitoring that can answer the row. `remediator doctor` tells which of them it"
        " found, and which series the others lack ([how to read it](../how-to/doctor.md)).",
        rules["SourceShape"],
        rules,
    )
    parts += _section(
        "A freeze",
        "Under `freezes:`. Nothing is changed while it lasts; looking and telling go on. Either `cron` and `length`, or"
        " `begins` and `ends`.",
        rules["FreezeShape"],
        rules,
    )
    parts += _section("`target`", "", rules["TargetShape"], rules)
    parts += _section("`limits`", "", rules["LimitsShape"], rules)
    parts += _section("`recover`", "`below` is for rows of the threshold table.", rules["ThresholdRecoverShape"], rules)
    parts += _actions(rules)
    parts += _section(
        "A case",
        "Under `cases:` in a file `*.cases.yaml` beside the rules. All are tried on all rules of the set.",
        cases["CaseShape"],
        cases,
    )
    parts += _section("`expect`", "", cases["ExpectShape"], cases)
    parts.append(_TAIL)
    return "\n".join(parts)


def _section(title: str, text: str, shape: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {title}\n"
    if text:
        yield f"{text}\n"
    yield from _table(shape, parts)


def _table(shape: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    yield "| field | what | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in shape["properties"].items():
        default = "must be given" if name in shape.get("required", ()) else _default(field)
        meaning = field.get("description") or _definition(field, parts).get("description", "")
        yield f"| `{name}` | {_what(field, parts)} | {default} | {_cell(meaning)} |"


def _actions(parts: dict[str, Any]) -> Iterator[str]:
    yield "\n## `ladder`: the actions\n"
    yield "A rung is the name of an action (`restart`), or its name with parameters (`{scale: {to: 3}}`).\n"
    for name, action in ACTIONS.items():
        shape = parts[action.parameters.__name__]
        kinds = ", ".join(sorted(action.kinds))
        effect = "changes the workload" if action.changes else "changes nothing"
        yield f"### {name}\n"
        yield f"{action.title}. On {kinds}; {effect}{', pods may end by it' if action.disruptive else ''}.\n"
        if shape["properties"]:
            yield f"{_cell(shape.get('description', ''))}\n"
            yield from _table(shape, parts)
            yield ""


def _only(shape: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return shape | {"properties": {name: field for name, field in shape["properties"].items() if name in names}}


def _what(field: dict[str, Any], parts: dict[str, Any]) -> str:
    """Return in a word or two what may be written."""
    field = _definition(field, parts)
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _what(choices[0], parts)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("examples"):
        return f"text like `{_cell(field['examples'][-1])}`"
    if field.get("type") == "array":
        return f"list of {_what(field['items'], parts)}"
    words: dict[str, str] = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true or false",
        "object": "mapping",
    }
    return words.get(str(field.get("type", "rung")), str(field.get("type", "rung")))


def _definition(field: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref")
    if reference is None:
        return field
    found: dict[str, Any] = parts[reference.rpartition("/")[2]]
    return found


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", []):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")
