"""One entry of a document to checked values, with every fault and its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from remediator.actions.parameters import did_you_mean
from remediator.rulebook.document import Document, Path
from remediator.rulebook.faults import Fault
from remediator.rulebook.ladder import BadRung
from remediator.rulebook.sentences import sentence

MOST_ENTRIES = 2000
"""Entries of one list of a file."""

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[S]):
    """One rule, row or case as written. ``shape`` is None where it has faults; ``values`` are its good fields."""

    document: Document
    path: Path
    shape: S | None
    values: dict[str, Any]
    faults: tuple[Fault, ...]

    def fault(self, message: str, *path: str | int) -> Fault:
        """Return a fault at a field of this entry."""
        return Fault(self.document.place((*self.path, *path)), message)


def lists_of(document: Document, names: tuple[str, ...]) -> tuple[dict[str, list[Any]], list[Fault]]:
    """Return the lists that stand at the top of a document, by name, and what is wrong with the top."""
    data = document.data
    if not isinstance(data, dict):
        wanted = " or ".join(f"'{name}:'" for name in names)
        return {}, [Fault(document.place(()), f"the file must begin with {wanted}; put the entries under it")]
    faults: list[Fault] = []
    found: dict[str, list[Any]] = {}
    for key, value in data.items():
        if key not in names:
            faults.append(Fault(document.key((key,)), f"there is no field '{key}' here{did_you_mean(key, names)}"))
        elif not isinstance(value, list) or not value:
            faults.append(Fault(document.place((key,)), f"'{key}' must be a list with entries; put each behind a '-'"))
        elif len(value) > MOST_ENTRIES:
            message = f"'{key}' has {len(value)} entries; at most {MOST_ENTRIES} are read from one file, split it"
            faults.append(Fault(document.place((key,)), message))
        else:
            found[key] = value
    return found, faults


def parse_entry(document: Document, path: Path, raw: Any, shape: type[S]) -> Entry[S]:
    """Check one entry. What is good in an entry with faults is kept, so that it can be checked further."""
    if not isinstance(raw, dict):
        fault = Fault(document.place(path), "an entry is a mapping of fields; write 'name:' and the others under it")
        return Entry(document=document, path=path, shape=None, values={}, faults=(fault,))
    try:
        checked = shape.model_validate(raw)
    except ValidationError as error:
        faults = tuple(_faults(document, path, error, shape))
        bad = {item["loc"][0] for item in error.errors(include_url=False) if item["loc"]}
        values = _good_values(raw, shape, bad)
        return Entry(document=document, path=path, shape=None, values=values, faults=faults)
    values = {name: getattr(checked, name) for name in shape.model_fields}
    return Entry(document=document, path=path, shape=checked, values=values, faults=())


def _good_values(raw: dict[str, Any], shape: type[S], bad: set[str | int]) -> dict[str, Any]:
    """Return the values, defaults too, of the fields without faults."""
    values: dict[str, Any] = {}
    blank = shape.model_construct()
    for name, info in shape.model_fields.items():
        key = info.alias or name
        if key in bad:
            continue
        if key in raw:
            shape.__pydantic_validator__.validate_assignment(blank, name, raw[key])
            values[name] = getattr(blank, name)
        else:
            values[name] = info.get_default(call_default_factory=True)
    return values


def _faults(document: Document, path: Path, error: ValidationError, shape: type[BaseModel]) -> Iterator[Fault]:
    for found in error.errors(include_url=False):
        at = (*path, *found["loc"])
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, BadRung):
            for below, message in cause.problems:
                yield Fault(document.key((*at, *below)), message)
        elif found["type"] == "extra_forbidden":
            yield Fault(document.key(at), sentence(found, shape))
        else:
            yield Fault(document.place(at), sentence(found, shape))
