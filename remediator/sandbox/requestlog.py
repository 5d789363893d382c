"""What was asked of the API, in order: the oracle by which tests tell what was truly written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

DEFAULT_LIMIT = 100_000
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and what became of it.

    `status` is 0 when the connection broke before an answer; `version` is the store's version after it, so a write
    that changed something has a higher one than the record before. `body` is JSON where it was JSON, else text.
    """

    number: int
    at: datetime
    method: str
    path: str
    query: Mapping[str, str]
    user: str
    user_agent: str
    status: int
    content_type: str
    body: Any
    version_before: int
    version: int

    @property
    def is_write(self) -> bool:
        """Tell whether it asked for a change (dry runs excepted)."""
        return self.method in _WRITES and self.query.get("dryRun") != "All"

    @property
    def changed(self) -> bool:
        """Tell whether the store changed while it was handled."""
        return self.version > self.version_before


class RequestLog:
    """The last requests, oldest first, up to a limit."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        """Keep at most `limit` records."""
        self._records: deque[RequestRecord] = deque(maxlen=limit)
        self.count = 0

    def add(self, record: RequestRecord) -> None:
        """Keep one more."""
        self._records.append(record)

    def next_number(self) -> int:
        """Return the number of the next request, from 1."""
        self.count += 1
        return self.count

    def writes(self, path_part: str = "") -> list[RequestRecord]:
        """Return the requests that asked for a change, those whose path contains `path_part`."""
        return [record for record in self._records if record.is_write and path_part in record.path]

    def clear(self) -> None:
        """Forget all records; the numbers go on."""
        self._records.clear()

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(tuple(self._records))

    def __len__(self) -> int:
        return len(self._records)
