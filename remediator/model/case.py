"""One candidate with all that the guards may look at: the argument of every guard."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from remediator.model.action import PastAction
from remediator.model.decision import Decision
from remediator.model.facts import Facts
from remediator.model.freeze import Freeze
from remediator.model.incident import Candidate, Incident
from remediator.model.pause import Pause
from remediator.model.plan import Plan
from remediator.model.policy import Policy
from remediator.model.rule import RateLimit, Rule
from remediator.model.sighting import Hush


class Scope(Struct, frozen=True, kw_only=True):
    """What a limit counts: a kind (``target``, ``rule``, ``namespace``, ``cluster``), its key, and the limit.

    Of the kind ``look`` the key is the name of an action that changes nothing.
    """

    kind: str
    key: str
    limit: RateLimit


class Window(Struct, frozen=True, kw_only=True):
    """How many changing actions (of the kind ``look``: others) were admitted in a scope's window, the oldest when."""

    count: int
    oldest_at: datetime | None = None


class Touched(Struct, frozen=True, kw_only=True):
    """A target on which a changing action was admitted lately."""

    target_key: str
    namespace: str
    admitted_at: datetime


class PlatformAlert(Struct, frozen=True, kw_only=True):
    """How many alerts of one name, about the platform itself, fire in a namespace (empty: about none)."""

    alertname: str
    namespace: str = ""
    count: int = 1


class Outlook(Struct, frozen=True, kw_only=True):
    """How far back, in seconds, the guards look at what was touched and at when incidents began.

    ``platform`` are the names of the alerts about the platform that they ask for.
    """

    touched_s: int
    onsets_s: int
    platform: tuple[str, ...]


class History(Struct, frozen=True, kw_only=True):
    """What has been done before, read inside the admission transaction; only changing actions count.

    ``target``: the actions on this target in the last 31 days, newest first, at most 50. ``windows``: by scope.
    ``open_in_namespace`` and ``open_in_cluster`` are open changing actions, ``last_in_cluster`` the latest admission.
    ``touched``: when each target was last changed, as far as the policy's blast window goes back. ``onsets``: when
    incidents began, oldest first, as far back as a storm is remembered. ``platform``: alerts about the platform that
    fire. ``pauses``: those in force, in the database and on this replica's machine.
    """

    target: tuple[PastAction, ...] = ()
    windows: dict[Scope, Window] = {}
    open_in_namespace: int = 0
    open_in_cluster: int = 0
    last_in_cluster: datetime | None = None
    alert_firing: bool = True
    touched: tuple[Touched, ...] = ()
    onsets: tuple[datetime, ...] = ()
    platform: tuple[PlatformAlert, ...] = ()
    pauses: tuple[Pause, ...] = ()


class Assessed(Struct, frozen=True, kw_only=True):
    """A candidate whose facts have been read."""

    candidate: Candidate
    facts: Facts
    incident: Incident | None = None


class Case(Struct, frozen=True, kw_only=True):
    """A candidate, its rule, the plan its rung makes, the facts, the history and the policy, at one moment."""

    now: datetime
    candidate: Candidate
    rule: Rule
    plan: Plan
    facts: Facts
    history: History
    policy: Policy
    freezes: tuple[Freeze, ...] = ()


class Ruling(Struct, frozen=True, kw_only=True):
    """The decision about one candidate, with the scopes that it was counted in."""

    assessed: Assessed
    rule: Rule | None
    decision: Decision
    numbers: dict[str, Any] = {}


class AdmissionBatch(Struct, frozen=True, kw_only=True):
    """All that a batch of decisions is made on, read inside the transaction at ``now`` (the database's clock).

    ``incidents`` are the open ones and ``past`` the changing actions of 31 days, both by target key;
    ``open_by_namespace`` counts open changing actions, ``open_in_cluster`` all of them; ``firing`` tells of each
    candidate, by its id, whether its alert, or another one of its incident, still fires. ``working`` holds, by the
    id of an open incident, the rules that have an action or a candidate under way in it, or a question that nobody has
    answered; ``rejected`` those to whose question a person said no. ``hushed``: candidates whose firing alerts are all
    silenced or inhibited. ``last_action`` is the number of the action that was admitted last; those of this batch get
    the next ones, in order. ``waited``: candidates that were held before, with the reasons of the last time. The rest
    is as in ``History``.
    """

    now: datetime
    items: tuple[Assessed, ...]
    incidents: dict[str, Incident]
    past: dict[str, tuple[PastAction, ...]]
    windows: dict[Scope, Window]
    open_by_namespace: dict[str, int]
    open_in_cluster: int
    last_in_cluster: datetime | None
    firing: dict[int, bool]
    working: dict[int, frozenset[str]] = {}
    rejected: dict[int, frozenset[str]] = {}
    hushed: dict[int, Hush] = {}
    last_action: int = 0
    waited: dict[int, tuple[str, ...]] = {}
    touched: tuple[Touched, ...] = ()
    onsets: tuple[datetime, ...] = ()
    platform: tuple[PlatformAlert, ...] = ()
    pauses: tuple[Pause, ...] = ()
