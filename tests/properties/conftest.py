"""Property tests try the same examples every time: a failure that comes and goes is one that nobody repairs."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("steady")
