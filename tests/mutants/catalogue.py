"""All mutants, in the order in which they are tried."""

from __future__ import annotations

from tests.mutants.databases import DATABASE_MUTANTS
from tests.mutants.guards import GUARD_MUTANTS
from tests.mutants.loans import LOAN_MUTANTS
from tests.mutants.safeguards import SAFEGUARD_MUTANTS

MUTANTS = (*SAFEGUARD_MUTANTS, *GUARD_MUTANTS, *DATABASE_MUTANTS, *LOAN_MUTANTS)
