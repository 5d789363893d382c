"""The JSON Schema (2020-12) of rule files and case files, for editors: made from the shapes and the actions."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from remediator.actions.catalogue import ACTIONS, parse
from remediator.model.errors import ConfigError
from remediator.rulebook.cases import CaseFile
from remediator.rulebook.freezes import FreezeShape
from remediator.rulebook.shapes import RuleShape, Shape, ThresholdShape

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class RuleFile(Shape, title="Rule file"):
    """A file of rules, of rows of the threshold table, of freezes, or of all of them."""

    rules: list[RuleShape] = Field(default=[], max_length=2000, description="Rules that alerts set off.")
    thresholds: list[ThresholdShape] = Field(
        default=[], max_length=2000, description="Rows of the threshold table; each becomes a rule."
    )
    freezes: list[FreezeShape] = Field(default=[], max_length=2000, description="Times in which nothing is changed.")


class _Quiet(GenerateJsonSchema):
    """Says nothing about defaults that it cannot write: those are written by the shapes."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it


def rule_file_schema() -> dict[str, Any]:
    """Return the schema of a rule file, with the parameters of every action."""
    schema = _schema(RuleFile)
    schema["minProperties"] = 1
    rung, parts = _rung()
    schema["$defs"] |= {"Rung": rung} | parts
    for shape in (RuleShape, ThresholdShape):
        schema["$defs"][shape.__name__]["properties"]["ladder"]["items"] = {"$ref": "#/$defs/Rung"}
    schema["$defs"]["ThresholdShape"] |= {
        "oneOf": [{"required": ["expr"]}, {"required": ["sources"]}],
        "dependentRequired": {"source": ["sources"]},
    }
    return schema


def case_file_schema() -> dict[str, Any]:
    """Return the schema of a file of cases."""
    return _schema(CaseFile)


def _schema(shape: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DIALECT} | shape.model_json_schema(schema_generator=_Quiet)


def _rung() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a rung, and the definitions of the parameters of each action."""
    types = [action.parameters for action in ACTIONS.values()]
    references, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    alone = [{"const": name, "title": action.title} for name, action in ACTIONS.items() if _takes_nothing(name)]
    with_parameters = [
        {
            "type": "object",
            "title": action.title,
            "properties": {name: reference},
            "required": [name],
            "additionalProperties": False,
        }
        for (name, action), reference in zip(ACTIONS.items(), references, strict=True)
    ]
    return {"title": "Rung", "description": "One step of the ladder.", "anyOf": [*alone, *with_parameters]}, parts


def _takes_nothing(action: str) -> bool:
    """Tell whether an action can be written without parameters."""
    try:
        parse(action, {})
    except ConfigError:
        return False
    return True
