"""Every check there is, by the name that runbooks use.

A check is a value of ``CheckType``; whoever adds one adds it to ``CHECKS`` below and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from remediator.checks.pods import PODS
from remediator.checks.shape import CheckType

CHECKS: Mapping[str, CheckType] = MappingProxyType({check.name: check for check in (PODS,)})
