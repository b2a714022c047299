"""`git-diff`."""

from __future__ import annotations

import re

import click

from darkshare._tables import printable
from darkshare.cli import Command, command
from darkshare.cli.options import dialect_option
from darkshare.cli.progress import put

FILES = (".cfg", ".weights")
# How many words git gives: a name, then file, hash and mode twice; for a renamed file, what it is called now, too.
OF_DIFF = (7, 9)
_MODE = re.compile(r"\d{6}|\.")  # as git calls the rights of a file


class OfGit(Command):
    """A command behind whose options stand names that git gives as they are, also those that begin with a dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell the words of git from options."""
        for count in (*OF_DIFF, 1):
            at = len(args) - count
            given = args[at:] if at >= 0 else []
            modes = given[3:7:3]
            if (modes and all(map(_MODE.fullmatch, modes))) or (count == 1 and given and given[0].endswith(FILES)):
                return super().parse_args(ctx, [*args[:at], "--", *given])
        return super().parse_args(ctx, args)


@command("git-diff", cls=OfGit)
@click.argument("words", nargs=-1, required=True)
@dialect_option
def git_diff(words: tuple[str, ...], dialect: str) -> None:
    """Tell git what changed in weights; it gives the words behind the command.

    Of weights that changed, the verdict of `stats`; of a cfg alone, its text without comments, blanks and order.

    \b
    Examples:
      git config diff.darknet.command 'darkshare git-diff'
      git config diff.darknet-cfg.textconv 'darkshare git-diff'
      darkshare git-diff yolov3.cfg
    """
    from darkshare.analysis.versions import plain_cfg, weights_versions

    if len(words) == 1 and words[0].lower().endswith(".cfg"):
        put(plain_cfg(words[0], dialect=dialect).rstrip("\n"))
        return
    if len(words) == 1:  # what git gives of a file in a merge conflict
        put(printable(f"* Unmerged path {words[0]}"))
        return
    if len(words) not in OF_DIFF:
        raise click.UsageError(f"git gives 1, 7 or 9 words behind the command, not {len(words)}")
    name, old, _, _, new, _, _, *renamed = words
    lines = weights_versions(old, new, name, *renamed[:1], dialect=dialect)
    heading = f"darkshare git-diff a/{name} b/{renamed[0] if renamed else name}"
    put("\n".join(map(printable, [heading, *"".join(renamed[1:]).splitlines(), *lines])))
