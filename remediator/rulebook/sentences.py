"""Turns pydantic's findings into sentences that say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from remediator.actions.parameters import did_you_mean

Path = tuple[str | int, ...]

_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_type": lambda _: "this must be a text; put it in quotes",
    "string_too_short": lambda _: "this is empty; write something or remove the field",
    "string_too_long": lambda ctx: f"this is too long; at most {ctx['max_length']} characters",
    "int_type": lambda _: "this must be a whole number, without quotes",
    "int_from_float": lambda _: "this must be a whole number, without quotes",
    "float_type": lambda _: "this must be a number, without quotes",
    "finite_number": lambda _: "this number is too large; write a finite one",
    "bool_type": lambda _: "this must be true or false, without quotes",
    "list_type": lambda _: "this must be a list; put each entry behind a '-', or all of them in [ ]",
    "model_type": lambda _: "this must be a mapping of fields; indent them under this one",
    "too_short": lambda _: "this list is empty; write at least one entry",
    "too_long": lambda ctx: f"this list has {ctx['actual_length']} entries; at most {ctx['max_length']} are allowed",
    "greater_than_equal": lambda ctx: f"this number is too small; write {ctx['ge']} or more",
    "less_than_equal": lambda ctx: f"this number is too large; write {ctx['le']} or less",
}


def sentence(error: ErrorDetails, shape: type[BaseModel]) -> str:
    """Return one sentence for one finding in a value of ``shape``."""
    kind, context = error["type"], error.get("ctx", {})
    last = error["loc"][-1] if error["loc"] else ""
    if error["input"] is None and kind != "missing":
        return "nothing is written here; write a value or remove the field"
    match kind:
        case "missing":
            return f"'{last}' is missing; {_purpose(shape, error['loc'])}"
        case "extra_forbidden":
            return f"there is no field '{last}' here{did_you_mean(str(last), fields_at(shape, error['loc'][:-1]))}"
        case "enum":
            return f"{_shown(error['input'])} is not possible here; write {context['expected']}"
        case "value_error":
            return str(context["error"])
    known = _SENTENCES.get(kind)
    return known(context) if known else f"{error['msg'][:1].lower()}{error['msg'][1:]}; correct it"


def fields_at(shape: type[BaseModel], path: Path) -> Mapping[str, str]:
    """Return the fields, and what each is for, of the mapping at ``path`` below ``shape``."""
    for part in path:
        if isinstance(part, str):
            shape = _inner(shape, part)
    return {info.alias or name: info.description or "" for name, info in shape.model_fields.items()}


def _inner(shape: type[BaseModel], field: str) -> type[BaseModel]:
    """Return the shape of a field that is itself a mapping, or a list of such."""
    for name, info in shape.model_fields.items():
        if field in {name, info.alias}:
            for candidate in (info.annotation, *get_args(info.annotation)):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    return candidate
    return shape


def _purpose(shape: type[BaseModel], path: Path) -> str:
    """Return what to write for a field that is missing: its description."""
    described = fields_at(shape, path[:-1]).get(str(path[-1]), "")
    return f"add it. {described}" if described else "add it"


def _shown(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else "this"
