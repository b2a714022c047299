"""`demo`."""

from __future__ import annotations

from pathlib import Path

from darkshare.cli import command
from darkshare.cli.options import folder_option, format_option


@command()
@folder_option("demo", "the networks and the pictures.")
@format_option
def demo(output: str, form: str) -> None:
    """Merge three tiny detectors, look at a street in one pass and prove that nothing changed.

    They find cars, buses, people and lamps, three marks, and lines of text; everything comes with darkshare. Every head
    of the merged network gives what the separate one gives.

    \b
    Example:
      darkshare demo -o demo
    """
    from darkshare.cli.demo_files import PHOTO, demonstrate
    from darkshare.cli.hints import Made, hint
    from darkshare.cli.printing import noted, say, show
    from darkshare.darknet.model import load

    shown = demonstrate(Path(output))
    show(shown, form=form)
    noted(sorted(Path(output).iterdir()))
    say(*(f"Note: {remark}" for remark in shown.remarks))
    cfg = shown.picture.with_suffix(".cfg")
    hint(Made([cfg, cfg.with_suffix(".weights")], load(cfg), picture=shown.picture.with_name(PHOTO)), form)
