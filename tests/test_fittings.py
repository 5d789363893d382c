"""What the settings mean for those who ask: whom they trust, and under which name alerts come."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.fittings import source_warnings, trusts, web_options
from remediator.model.errors import ConfigError
from remediator.settings import Settings, load_settings
from remediator.web.serving import prepare
from tests.fakes.clock import StillClock
from tests.flow.rig import Ear

HOME = {"HOME": "/users/somebody"}
TOKEN = "0123456789abcdef0123456789abcdef"


def settings(folder: Path, tokens: str, urls: str) -> Settings:
    """Return settings with these senders of webhooks and these Alertmanagers to ask."""
    file = folder / "tokens"
    file.write_text(tokens)
    file.chmod(0o600)
    return load_settings({"webhook_token_file": file, "alertmanager_url": urls}, HOME)


@pytest.mark.parametrize(
    ("tokens", "urls", "strangers"),
    [
        (TOKEN, "http://am:9093", []),
        (f"prod:{TOKEN}", "prod=http://am:9093", []),
        (f"{TOKEN}\nprod:1{TOKEN}", "http://am:9093,prod=http://am.prod:9093", []),
        (f"prod:{TOKEN}", "http://am-0:9093,http://am-1:9093", ["alertmanager"]),
        (TOKEN, "prod=http://am:9093,http://am:9093", ["prod"]),
    ],
)
def test_an_alert_must_not_have_two_names(tmp_path: Path, tokens: str, urls: str, strangers: list[str]) -> None:
    """The same one would be two: found by asking under one name, and posted under another."""
    given = settings(tmp_path, tokens, urls)
    prepared = prepare(web_options(given), StillClock(), Ear())
    warnings = list(source_warnings(given, prepared))
    assert len(warnings) == len(strangers)
    for warning, source in zip(warnings, strangers, strict=True):
        assert f"asks the source '{source}'" in warning


def test_authorities_are_read_at_the_start(tmp_path: Path) -> None:
    """And all their faults are told at once."""
    none = {"alertmanager_url": "https://am", "prometheus_url": "https://prometheus"}
    assert trusts(load_settings(none, HOME)) == (None, None)
    bad = {"alertmanager_ca": tmp_path / "am.pem", "prometheus_ca": tmp_path / "prometheus.pem"}
    with pytest.raises(ConfigError) as caught:
        trusts(load_settings({**none, **bad}, HOME))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [str(path) for path in bad.values()]
