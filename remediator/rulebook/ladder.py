"""One rung of a ladder as people write it: ``restart``, or ``{scale: {to: 3}}``. The actions check their parameters."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from remediator import redaction
from remediator.actions.catalogue import ACTIONS, parse
from remediator.actions.parameters import did_you_mean
from remediator.model.errors import ConfigError
from remediator.model.rule import Rung

Path = tuple[str | int, ...]


class BadRung(ValueError):
    """A rung that cannot be used; ``problems`` are paths below the rung, each with its sentence."""

    def __init__(self, *problems: tuple[Path, str]) -> None:
        """Keep the problems."""
        super().__init__("; ".join(message for _, message in problems))
        self.problems = problems


def parse_rung(raw: object) -> Rung:
    """Return the checked rung, with the defaults of its action filled in; raise BadRung with every problem."""
    action, parameters = _parts(raw)
    try:
        checked = parse(action, parameters)
    except ConfigError as error:
        raise BadRung(*((_path(action, parameters, problem), problem) for problem in error.problems)) from error
    # Words for people are sent and recorded: a secret in them is taken out where they come in.
    return Rung(action=action, parameters=redaction.tree(msgspec.to_builtins(checked)))


def _parts(raw: object) -> tuple[str, dict[str, Any]]:
    match raw:
        case str():
            return raw, {}
        case dict() if len(raw) == 1:
            [(action, parameters)] = raw.items()
            if parameters is None:
                raise BadRung(((action,), f"nothing is written behind '{action}:'; remove the colon or add parameters"))
            if not isinstance(parameters, dict):
                raise BadRung(((action,), f"the parameters of '{action}' are a mapping, like '{{scale: {{to: 3}}}}'"))
            return str(action), parameters
        case dict() if raw:
            known = ", ".join(str(key) for key in raw)
            raise BadRung(((), f"one rung has one action, and here are {known}; put each behind a '-' of its own"))
        case _:
            raise BadRung(((), f"this is not a rung; write an action{did_you_mean('', ACTIONS)}"))


def rung_text(rung: Rung) -> str:
    """Return a rung as people write it, without parameters that are at their default."""
    checked = parse(rung.action, rung.parameters)
    changed = {
        info.encode_name: getattr(checked, info.name)
        for info in msgspec.structs.fields(type(checked))
        if getattr(checked, info.name) != info.default
    }
    if not changed:
        return rung.action
    inner = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in changed.items())
    return f"{rung.action} {{{inner}}}"


def _path(action: str, parameters: dict[str, Any], problem: str) -> Path:
    """Return the path of the parameter that a problem of the catalogue is about, or of the rung."""
    for name in parameters:
        if problem.startswith((f"{action}.{name}:", f"{action} has no parameter {name!r}")):
            return (action, name)
    return ()
