"""The import contracts are all in force, and each real folder has its place in them."""

import tomllib
from typing import Any

import pytest

from tests.architecture import source

PROJECT: dict[str, Any] = tomllib.loads((source.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]
}


def exists(module: str) -> bool:
    """Whether a module or package of ours is written."""
    path = source.ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def layers() -> list[str]:
    """The layers from top to bottom, siblings one by one, parentheses kept."""
    return [name.strip() for layer in CONTRACTS["Imports point down"]["layers"] for name in layer.split("|")]


def test_no_layer_that_is_written_stands_in_parentheses() -> None:
    """A layer in parentheses may be missing; once written it may not be missing again."""
    optional = [name.strip("()") for name in layers() if name.startswith("(")]
    assert [name for name in optional if exists(f"remediator.{name}")] == []


def test_layers_stand_in_the_order_of_the_blueprint() -> None:
    """From what an operator types down to the nouns; a new top-level module is put into this list on purpose."""
    assert [name.strip("()") for name in layers()] == [
        *("__main__", "cli", "wiring"),
        *("settings", "logs", "web", "sandbox"),
        *("flow", "intake", "rulebook", "adapters"),
        *("actions", "core", "ports", "model"),
    ]
    assert CONTRACTS["Imports point down"]["exhaustive"] is True


@pytest.mark.skipif(not exists("remediator.wiring"), reason="remediator.wiring is not written yet")
def test_only_wiring_may_import_a_writer() -> None:
    """Every adapter module named writer is protected, and wiring alone is let in."""
    contract = CONTRACTS["Only wiring may name a thing that can write to the world"]
    writers = [
        ".".join(path.with_suffix("").parts)
        for path in source.python("remediator")
        if path.parts[1] == "adapters" and path.stem == "writer"
    ]
    assert contract["protected_modules"] == writers
    assert contract["allowed_importers"] == ["remediator.wiring"]


@pytest.mark.skipif(not exists("remediator.web"), reason="remediator.web is not written yet")
def test_web_is_kept_away_from_the_inside() -> None:
    """The contract for web is in force as soon as web exists."""
    assert CONTRACTS["Web reaches the rest only through ports"]["source_modules"] == ["remediator.web"]


def test_pure_folders_are_all_under_the_ban() -> None:
    """What decides touches no world: the ban names all four folders and at least clock, loop and logger."""
    ban = CONTRACTS["actions, core, ports and model touch no world, no clock, no logger"]
    assert ban["source_modules"] == [f"remediator.{name}" for name in ("actions", "core", "ports", "model")]
    assert {"asyncio", "json", "logging", "os", "random", "structlog", "time"} <= set(ban["forbidden_modules"])


def test_only_the_clocks_may_read_the_clock() -> None:
    """Two files are excused from the bans on time and chance, and both are clocks."""
    excused = PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
    assert [path for path, codes in excused.items() if "TID251" in codes] == [
        "remediator/adapters/clock.py",
        "remediator/sandbox/clock.py",
    ]
