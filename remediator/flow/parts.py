"""What the stages are made of: every port they use, and the numbers that bound them."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.flow.asking import Lookout
from remediator.flow.measuring import Watch
from remediator.model.pause import Pause
from remediator.model.policy import Policy
from remediator.ports.actions import ActionStore, EvidenceStore
from remediator.ports.admission import AdmissionStore
from remediator.ports.clock import Clock
from remediator.ports.cluster import ClusterReader, ClusterWriter, EvidenceReader
from remediator.ports.databases import Databases
from remediator.ports.incidents import IncidentStore, Outbox
from remediator.ports.ledger import Alarm, LedgerWriter
from remediator.ports.loans import LoanStore
from remediator.ports.matching import MatchStore
from remediator.ports.notifier import Notifier
from remediator.ports.observer import Observer
from remediator.ports.pauses import PauseFile
from remediator.ports.rules import Rulebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much at once, and for how long (seconds). Nothing here can mean "unlimited".

    ``read_again_s``: the age at which the decision's read of an object is not used for the write any more. The write
    carries that version, so an older read could do no harm: it would only be refused more often, and read again then.
    ``notify_attempts``: a message to people is given up after so many, which takes a day; after ``notify_told`` of them
    (a quarter of an hour) the ledger says that nobody was reached.
    """

    match_batch: int = 500
    gather_s: float = 0.05
    assess_concurrency: int = 32
    admit_batch: int = 64
    execute_concurrency: int = 32
    verify_batch: int = 16
    close_batch: int = 64
    notify_batch: int = 16
    poll_s: float = 1.0
    candidate_lease_s: float = 60.0
    action_lease_s: float = 90.0
    look_lease_s: float = 30.0
    facts_deadline_s: float = 10.0
    read_again_s: float = 2.0
    write_tries: int = 5
    action_attempts: int = 5
    doubt_s: float = 60.0
    notify_attempts: int = 300
    notify_told: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Our own PostgreSQL, one store for each stage's bracket."""

    matching: MatchStore
    admission: AdmissionStore
    actions: ActionStore
    evidence: EvidenceStore
    incidents: IncidentStore
    outbox: Outbox
    ledger: LedgerWriter
    alarm: Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster: facts, evidence, and the one writer."""

    reader: ClusterReader
    evidence: EvidenceReader
    writer: ClusterWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that the stages share."""

    stores: Stores
    cluster: Cluster
    notifier: Notifier
    rulebook: Rulebook
    policy: Policy
    bounds: Bounds
    clock: Clock
    observer: Observer
    owner: str
    pause_file: PauseFile | None = None
    lookout: Lookout | None = None
    watch: Watch | None = None
    loans: LoanStore | None = None
    databases: Databases | None = None

    def paused_here(self) -> tuple[Pause, ...]:
        """Return the pause that a file on this machine makes, if it does."""
        pause = self.pause_file.read() if self.pause_file is not None else None
        return (pause,) if pause is not None else ()
