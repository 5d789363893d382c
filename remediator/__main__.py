"""``python -m remediator``."""

from __future__ import annotations

import sys

from remediator.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
