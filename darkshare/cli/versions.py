"""`git-diff`."""

from __future__ import annotations

import re

import click

from darkshare._tables import printable
from darkshare.cli import Command, command
from darkshare.cli.options import dialect_option
from darkshare.cli.progress import put

OF_DIFF = (7, 9)  # words that git gives: name, file, hash and mode twice; of a renamed file, what it is called now, too

_MODE = re.compile(r"[0-7]{6}|\.")


class _OfGit(Command):
    """A command whose words are git's, which puts no -- before paths that begin with a dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = {name for one in self.get_params(ctx) if isinstance(one, click.Option) for name in one.opts}
        at = 0
        while at < len(args) and args[at].partition("=")[0] in names:
            at += 1 + (args[at] == "--dialect")
        paths = args[at:]
        is_diff = len(paths) in OF_DIFF and all(_MODE.fullmatch(paths[place]) for place in (3, 6))
        if is_diff or (len(paths) == 1 and "." in paths[0]):
            args = [*args[:at], "--", *paths]
        return super().parse_args(ctx, args)


@command("git-diff", cls=_OfGit)
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
