"""``remediator policy``: the manifest, for the user that is asked for."""

from __future__ import annotations

import pytest
import yaml

from remediator.cli.exits import Exit
from remediator.cli.main import main
from remediator.model.policy import Policy


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command and return what it printed."""
    assert main(["policy", *words]) == Exit.OK
    return capsys.readouterr().out


def conditions(text: str) -> set[str]:
    """Return the conditions about the user."""
    documents = [one for one in yaml.safe_load_all(text) if one["kind"] == "ValidatingAdmissionPolicy"]
    assert len(documents) == 3
    return {one["spec"]["matchConditions"][0]["expression"] for one in documents}


def test_it_prints_policies_with_their_bindings(capsys: pytest.CaptureFixture[str]) -> None:
    """Each policy has a binding of its name that denies, so that one apply is all there is to do."""
    documents = list(yaml.safe_load_all(printed(capsys)))
    bindings = [one["spec"] for one in documents if "policyName" in one["spec"]]
    names = {one["metadata"]["name"] for one in documents if one["kind"] == "ValidatingAdmissionPolicy"}
    assert {one["policyName"] for one in bindings} == names
    assert all(one["validationActions"] == ["Deny"] for one in bindings)
    assert len(documents) == 6


@pytest.mark.parametrize(
    ("words", "user"),
    [
        ((), "system:serviceaccount:remediator:remediator"),
        (("--service-account", "backstage/machine"), "system:serviceaccount:backstage:machine"),
        (("--user", "jane@example.com"), "jane@example.com"),
    ],
)
def test_all_are_about_the_user(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], user: str) -> None:
    """The default service account, another one, or whoever the kubeconfig is of."""
    assert conditions(printed(capsys, *words)) == {f"request.?userInfo.?username.orValue('') == \"{user}\""}


def test_the_cap_is_the_one_that_the_daemon_plans_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless another is asked for, as for the daemon."""
    assert f"variables.replicas <= {Policy().max_replicas}\n" in printed(capsys)
    assert "variables.replicas <= 7\n" in printed(capsys, "--max-replicas", "7")


@pytest.mark.parametrize(
    "words",
    [
        ("--service-account", "backstage"),
        ("--service-account", "a/b/c"),
        ("--max-replicas", "0"),
        ("--max-replicas", "many"),
        ("--user", "a", "--service-account", "a/b"),
    ],
)
def test_bad_arguments_are_named(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """Exit code 2, as for every fault of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["policy", *words])
    assert ended.value.code == Exit.FAULTY
    assert words[0] in capsys.readouterr().err


def test_a_name_that_cannot_be_a_user_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It would break the manifest."""
    assert main(["policy", "--user", "a\nb"]) == Exit.FAULTY
    assert "cannot be a user's name" in capsys.readouterr().err


def test_it_prints_what_is_installed_in_a_database(capsys: pytest.CaptureFixture[str]) -> None:
    """The functions and nothing else: psql takes it as it is."""
    text = printed(capsys, "--database")
    assert text.startswith("-- ")
    assert "CREATE SCHEMA IF NOT EXISTS remediator_limits" in text
    assert "apiVersion" not in text
