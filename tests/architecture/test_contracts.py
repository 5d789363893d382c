"""The import contracts are all in force, and each real folder has its place in them."""

import ast
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
        *("__main__", "cli", "wiring", "desk", "doctor", "fittings"),
        *("settings", "logs", "web", "sandbox", "options"),
        *("flow", "intake", "rulebook", "adapters", "values"),
        *("redaction", "checks", "actions", "core", "ports", "model"),
    ]
    assert CONTRACTS["Imports point down"]["exhaustive"] is True


def writers() -> tuple[set[str], set[str]]:
    """The adapter modules named writer, and those that import one and so could hand it on."""
    modules = {".".join(path.with_suffix("").parts): path for path in source.python("remediator")}
    named = {name for name in modules if name.startswith("remediator.adapters.") and name.endswith(".writer")}
    holders = {
        name
        for name, path in modules.items()
        for node in ast.walk(source.tree(path))
        if isinstance(node, ast.ImportFrom) and node.module in named and name != "remediator.wiring"
    }
    return named, holders


def test_whatever_holds_a_writer_is_protected() -> None:
    """Each writer, and each module that imports one, may be named by wiring and by nobody else."""
    contract = CONTRACTS["Only wiring may name a thing that can write to the world"]
    named, holders = writers()
    assert named
    assert set(contract["protected_modules"]) == named | holders
    assert set(contract["allowed_importers"]) - {"remediator.wiring"} == holders
    assert ("remediator.wiring" in contract["allowed_importers"]) == exists("remediator.wiring")


@pytest.mark.skipif(not exists("remediator.web"), reason="remediator.web is not written yet")
def test_web_is_kept_away_from_the_inside() -> None:
    """The contract for web is in force as soon as web exists."""
    assert CONTRACTS["Web reaches the rest only through ports"]["source_modules"] == ["remediator.web"]


def test_pure_folders_are_all_under_the_ban() -> None:
    """What decides touches no world: the ban names all five folders and at least clock, loop and logger."""
    ban = CONTRACTS["actions, checks, core, ports and model touch no world, no clock, no logger"]
    assert ban["source_modules"] == [f"remediator.{name}" for name in ("actions", "checks", "core", "ports", "model")]
    assert {"asyncio", "json", "logging", "os", "random", "structlog", "time"} <= set(ban["forbidden_modules"])


def test_only_the_clocks_may_read_the_clock() -> None:
    """Two files are excused from the bans on time and chance, and both are clocks."""
    excused = PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
    assert [path for path, codes in excused.items() if "TID251" in codes] == [
        "remediator/adapters/clock.py",
        "remediator/sandbox/clock.py",
    ]
