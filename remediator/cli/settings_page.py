"""The reference page of the settings, made from the table in the code: ``python -m remediator.cli.settings_page``."""

from __future__ import annotations

import sys

from remediator.options import OPTIONS, Option

_HEAD = """# Settings

<!-- Made by `python -m remediator.cli.settings_page`; a test compares. Change the code, then make it anew. -->

Each setting of `remediator serve` is a flag, an environment variable, and a key of the TOML file that `--config` (or
`REMEDIATOR_CONFIG`) names. A flag wins over the variable, the variable over the file. A variable or key that is no
setting is a fault, so that a misspelt one is not ignored in silence; the variables that Kubernetes makes for a Service
named `remediator` are let be. All faults are told at once, each with the flag, variable or key it stands in, and then
nothing is started.

Times are written `90s`, `10m`, `1h30m`, `90d`; limits `6/10m` (six in any ten minutes); lists with commas (in the file
also as arrays). `REMEDIATOR_PG_BIN` names the folder with the programs of the PostgreSQL that is to be embedded.

| flag | variable | default | what it is |
|---|---|---|---|
"""

_TAIL = """
Webhooks need authentication: one of `--webhook-token-file`, `--webhook-basic-auth-file` and `--tls-client-ca`. Without
any, `--insecure-no-auth` has to be given, and is taken only when listening on loopback. The format of both files and
their rotation: [how to connect Alertmanager](../how-to/connect-alertmanager.md).

Values that may hold credentials (marked *secret*) are shown neither in messages nor in the log.
"""


def reference() -> str:
    """Return the page."""
    return _HEAD + "".join(map(_row, OPTIONS)) + _TAIL


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    text = option.help[0].upper() + option.help[1:] + (" *(secret)*" if option.secret else "")
    return f"| `{option.flag}` | `{option.variable}` | {default} | {text} |\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
