"""No guard is forgotten: what is a file beside the others is asked."""

from __future__ import annotations

import importlib
import pkgutil

from remediator.core import guardrails
from remediator.core.guardrails import GUARDS


def test_every_guard_is_asked() -> None:
    """Each module with a ``check`` is in the tuple once, under its own name."""
    modules = [
        importlib.import_module(f"{guardrails.__name__}.{found.name}")
        for found in pkgutil.iter_modules(guardrails.__path__)
    ]
    written = {module.__name__.rpartition(".")[2]: module.check for module in modules if hasattr(module, "check")}
    assert {guard.name: guard.check for guard in GUARDS} == written
    assert len(GUARDS) == len(written)
