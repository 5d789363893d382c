"""``remediator check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remediator.cli.main import main
from tests.rulebook.writing import RULE


def check(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    code = main(["check", *words])
    return code, capsys.readouterr().out


def test_the_default_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """An aligned table, the cases, a last line with the counts; exit 0."""
    code, out = check("rules", capsys=capsys)
    assert code == 0
    lines = out.splitlines()
    head = lines[0]
    assert head.split() == ["RULE", "MATCHES,", "TARGET", "LADDER,", "LIMITS"]
    first = next(number for number, line in enumerate(lines) if line.startswith("service-unavailable "))
    row = lines[first : first + 6]
    for name, values in (
        ("RULE", ("service-unavailable ", "P1, enforce ", "rules/common-incidents.yaml:")),
        ("MATCHES,", ('alertname=~"ServiceUnavailable|', 'namespace=~"backstage|dev-portal"', "on Deployment")),
        ("LADDER,", ("investigate", "restart {allow_single: true}", "scale {to: 3}", "cooldown 10m")),
    ):
        column = [line[head.index(name) :] for line in row]
        for value in values:
            assert any(cell.startswith(value) for cell in column), value
    assert max(map(len, lines)) <= 132
    assert lines[-1].startswith("15 rules, 0 warnings, 29 cases; digest ")
    assert sum(line.endswith(": as expected") for line in lines) == 29
    assert "\x1b" not in out


def test_broken_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault on a line of its own, with its place; exit 2."""
    code, out = check("tests/data/broken-rules", capsys=capsys)
    assert code == 2
    lines = out.splitlines()
    assert (
        "tests/data/broken-rules/fields.yaml:12:5: there is no field 'serverity' here; did you mean 'severity'?"
        in lines
    )
    assert lines[-1] == f"{len(lines) - 2} faults; nothing was loaded"


def test_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are printed, and do not fail."""
    path = tmp_path / "r.yaml"
    path.write_text(RULE.replace('alertname="A"', 'alertname=~"A"'), "utf-8")
    code, out = check(str(path), capsys=capsys)
    assert code == 0
    assert f"warning {path}:4:12: alertname=~\"A\" is no expression but one value; write '='" in out
    assert "1 rule, 1 warning, 0 cases" in out


def test_foreign_text_cannot_take_the_terminal_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a rule file are made visible."""
    path = tmp_path / "r.yaml"
    path.write_text(RULE.replace("'alertname=\"A\"'", '"alertname=\\"A\\eB\\""'), "utf-8")
    code, out = check(str(path), capsys=capsys)
    assert code == 0
    assert "\x1b" not in out
    assert 'alertname="A\\x1bB"' in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs."""
    code, out = check("--json", "rules", capsys=capsys)
    data = json.loads(out)
    assert (code, data["ok"], data["faults"]) == (0, True, [])
    assert data["rules"][0]["name"] == "service-unavailable"
    assert data["rules"][0]["match"][1] == 'namespace=~"backstage|dev-portal"'
    assert all(case["ok"] for case in data["cases"])


def test_json_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults too, and the same exit code."""
    code, out = check("--json", "tests/data/broken-rules/tabs.yaml", capsys=capsys)
    assert code == 2
    assert json.loads(out) == {
        "ok": False,
        "digest": None,
        "rules": [],
        "warnings": [],
        "cases": [],
        "faults": [
            {
                "file": "tests/data/broken-rules/tabs.yaml",
                "line": 4,
                "column": 1,
                "message": "a tab is used for indentation; use spaces",
            }
        ],
    }


def test_without_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Something must be named; the command line says so itself."""
    with pytest.raises(SystemExit) as ended:
        main(["check"])
    assert ended.value.code == 2
    assert "RULES" in capsys.readouterr().err
