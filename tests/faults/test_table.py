"""The table of kill points and the verdict of the long form."""

from __future__ import annotations

from collections import Counter

from tests.faults.__main__ import closing_lines
from tests.faults.campaign import SHARP, Campaign
from tests.faults.kills import Death, Moment, Toll
from tests.faults.proof import Ended
from tests.faults.stage import Kind
from tests.faults.table import table

PATCH, CLAIM = Moment("PATCH deployments", after=True), Moment("claim_actions", after=False, time=2)


def test_every_point_has_a_row() -> None:
    """Deaths of either replica are counted, whichever time it was; what was never met is named."""
    learnt = {"restart": [PATCH, CLAIM, Moment("claim_actions", after=False)], "notify": [CLAIM]}
    deaths = {
        Death("restart", PATCH, 0): 1,
        Death("restart", CLAIM, 1): 2,
        Death("restart", Moment("claim_actions", after=False), 1): 1,
    }
    rows = [line.split("  ") for line in table(learnt, deaths)[2:]]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["after PATCH deployments", "1 + 0", "."],
        ["before claim_actions", "0 + 3", "missed"],
    ]


def test_a_campaign_knows_what_it_missed() -> None:
    """The sharpest points must have been met; others are told."""
    campaign = Campaign(print)
    campaign.learnt = {kind.name.lower(): [*SHARP[kind], CLAIM] for kind in Kind}
    campaign.deaths = Counter({Death("restart", PATCH, number): 1 for number in (0, 1)})
    assert campaign.on_both() == 1
    assert "nobody died before PATCH deployments of RestartIt" in campaign.missing()
    assert "nobody died after PATCH deployments of RestartIt" not in campaign.missing()
    assert "restart: before claim_actions, time 2" in campaign.unmet()
    assert "nothing was learnt of ScaleIt" in Campaign(print).missing()
    assert Campaign(print, only=frozenset({"idle"})).missing() == []


def test_tolls_add_up() -> None:
    """What is wrong in one of many stages is wrong."""
    sum_, other = Toll(rounds=2), Toll(rounds=3, lost=["lost: it"], deaths=Counter({Death("scale", PATCH, 1): 1}))
    sum_.add(other)
    assert (sum_.rounds, sum_.lost, sum_.deaths.total(), sum_.clean) == (5, ["lost: it"], 1, False)


def test_one_wrong_thing_is_the_verdict() -> None:
    """All that was wrong stands at the end."""
    well = closing_lines({"kills": Ended("9 rounds")})
    assert well == ["", "kills       9 rounds", "faults: all as it must be"]
    ill = closing_lines({"kills": Ended("9 rounds", ("lost: one",)), "storm": Ended("a storm")})
    assert ill[-2:] == ["WRONG: lost: one", "faults: 1 not as it must be"]
