"""The JSON Schema says what the loader does, and the reference says what the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from remediator.actions.catalogue import ACTIONS
from remediator.cli.main import main
from remediator.rulebook.document import read_document
from remediator.rulebook.reference import reference_text
from remediator.rulebook.schema import case_file_schema, rule_file_schema
from tests.rulebook.writing import RULE

DEFAULTS = sorted(Path("rules").glob("*.yaml"))


def data(text: str | bytes) -> Any:
    """Return the data of a document."""
    document, faults = read_document(text if isinstance(text, bytes) else text.encode(), "f.yaml")
    assert document is not None
    assert faults == ()
    return document.data


def complaints(value: Any, schema: dict[str, Any]) -> list[str]:
    """Return what a validator of JSON Schema has against a value."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("schema", [rule_file_schema(), case_file_schema()], ids=["rules", "cases"])
def test_schemas_are_schemas(schema: dict[str, Any]) -> None:
    """They are valid for their dialect, and say which it is."""
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", DEFAULTS, ids=lambda path: path.name)
def test_the_default_files_fit(path: Path) -> None:
    """What the loader takes, an editor does not underline."""
    schema = case_file_schema() if path.name.endswith(".cases.yaml") else rule_file_schema()
    assert complaints(data(path.read_bytes()), schema) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("severity: P3", "severity: P9"),
        ("severity: P3", "serverity: P3"),
        ("name: one", "name: One"),
        ("[notify]", "[]"),
        ("[notify]", "[restrt]"),
        ("[notify]", "[scale]"),
        ("[notify]", "[{scale: {too: 3}}]"),
        ("[notify]", "[{scale: {to: 0}}]"),
        ("[notify]", "[{restart: {}, notify: {}}]"),
        ("severity: P3", "severity: P3\n    limits: {cooldown: 10 minutes}"),
        ("severity: P3", "severity: P3\n    limits: {per_rule: 3}"),
        ("severity: P3", "severity: P3\n    target: {kinds: [Pod]}"),
        ("rules:", "rule:"),
    ],
)
def test_faults_are_underlined(old: str, new: str) -> None:
    """Common mistakes are seen in the editor already."""
    assert complaints(data(RULE), rule_file_schema()) == []
    assert complaints(data(RULE.replace(old, new)), rule_file_schema()) != []


def test_every_action_is_there() -> None:
    """Each action can be written with parameters, and alone where it needs none."""
    for name in ACTIONS:
        text = RULE.replace("[notify]", "[{" + name + ": {nonsense: 1}}]")
        assert complaints(data(text), rule_file_schema()) != []
    alone = [choice["const"] for choice in rule_file_schema()["$defs"]["Rung"]["anyOf"] if "const" in choice]
    assert "restart" in alone
    assert "scale" not in alone


def test_defaults_fit_their_own_fields() -> None:
    """A default is written as a person would write it."""
    parts = rule_file_schema()["$defs"]
    wrong = [
        (shape, name)
        for shape, definition in parts.items()
        for name, field in definition.get("properties", {}).items()
        if "default" in field and complaints(field["default"], field | {"$defs": parts})
    ]
    assert wrong == []


def test_every_field_is_explained() -> None:
    """An editor shows a sentence for each field."""
    for schema in (rule_file_schema(), case_file_schema()):
        ours = [shape for name, shape in schema["$defs"].items() if name.endswith("Shape")]
        assert ours
        for shape in ours:
            for name, field in shape["properties"].items():
                text = field.get("description") or schema["$defs"][field["$ref"].rpartition("/")[2]]["description"]
                assert text.endswith((".", "...")), name


def test_the_reference_is_up_to_date() -> None:
    """docs/reference/rules.md is what the code says; make it anew with `remediator schema --markdown`."""
    assert Path("docs/reference/rules.md").read_text("utf-8") == reference_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["schema"], json.dumps(rule_file_schema())),
        (["schema", "--case"], json.dumps(case_file_schema())),
    ],
)
def test_the_command_prints_json(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`remediator schema` prints a JSON document."""
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(expected)


def test_the_command_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """`remediator schema --markdown` prints the page."""
    assert main(["schema", "--markdown"]) == 0
    assert capsys.readouterr().out == reference_text()
