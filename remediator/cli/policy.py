"""``remediator policy``: the admission policies that hold our own user to what it needs, for ``kubectl apply -f -``."""

from __future__ import annotations

import argparse
import re
import sys

from remediator.adapters.databases.queries import SETUP
from remediator.adapters.kubernetes.policy import DEFAULT_USER, manifest, service_account_user
from remediator.cli.exits import Exit
from remediator.model.errors import ConfigError
from remediator.model.policy import Policy

_ACCOUNT = re.compile(r"([a-z0-9][-a-z0-9]*)/([a-z0-9][-.a-z0-9]*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "remediator policy --service-account backstage/remediator | kubectl apply -f -"
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--service-account",
        dest="user",
        metavar="NAMESPACE/NAME",
        type=_account,
        help="the ServiceAccount that remediator runs as (default: remediator/remediator)",
    )
    who.add_argument("--user", metavar="NAME", help="the user, where it is no ServiceAccount (kubectl auth whoami)")
    parser.add_argument(
        "--max-replicas",
        metavar="N",
        type=_count,
        default=Policy().max_replicas,
        help="no write asks for more pods; as the setting of that name (default: %(default)s)",
    )
    parser.add_argument(
        "--database",
        action="store_true",
        help="instead: the SQL that an administrator installs where connection limits may be raised, for psql",
    )


def run(args: argparse.Namespace) -> int:
    """Print the manifest, or the SQL."""
    if args.database:
        print(SETUP)
        return Exit.OK
    try:
        sys.stdout.write(manifest(args.user or DEFAULT_USER, args.max_replicas))
    except ConfigError as error:
        print(f"remediator: {error}", file=sys.stderr)
        return Exit.FAULTY
    return Exit.OK


def _account(text: str) -> str:
    found = _ACCOUNT.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no ServiceAccount: write NAMESPACE/NAME")
    return service_account_user(found.group(1), found.group(2))


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 10_000:  # noqa: PLR2004 - as the setting
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 10000")
    return int(text)
