"""How commands tell what is wrong with a data set that they work with all the same."""

from __future__ import annotations

from collections.abc import Sequence

import click

from darkshare._tables import printable
from darkshare.cli.options import asked
from darkshare.data import Finding, is_divided

SHOWN = 5


def tell_divided(path: str, option: str = "share") -> None:
    """Say that --split was for nothing, where it was given and the data says itself what is for validation."""
    if asked(option) and is_divided(path):
        click.echo(f"Note: {path} has parts of its own, so --split is not used", err=True)


def tell(findings: Sequence[Finding], name: str) -> None:
    """Print the first of them to stderr, and how many more there are."""
    for finding in findings[:SHOWN]:
        click.echo(f"Note: {printable(str(finding))}", err=True)
    if (more := len(findings) - SHOWN) > 0:
        click.echo(f"Note: {more} more such notes about {name}; darkshare check has all", err=True)
