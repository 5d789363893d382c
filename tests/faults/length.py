"""How long the fault tests go on: short with all other tests, long with `make faults`."""

from __future__ import annotations

import os

LONG = os.environ.get("REMEDIATOR_TEST_LONG") == "1"
