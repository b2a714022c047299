"""`demo`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from darkshare._tables import fitted, render
from darkshare.cli import command
from darkshare.cli.options import folder_option
from darkshare.cli.printing import room, say
from darkshare.cli.progress import put


@command()
@folder_option("demo", "Folder for the networks and the pictures.")
def demo(output: str) -> None:
    """Merge two tiny detectors, of shapes and of text, run them in one pass and prove that nothing changed.

    Everything it needs comes with darkshare. Every head of the merged network gives what the separate one gives.

    \b
    Example:
      darkshare demo -o demo
    """
    from darkshare.cli.demo_files import PHOTO, K, demonstrate
    from darkshare.cli.hints import Made, hint
    from darkshare.darknet.model import load

    shown = demonstrate(Path(output))
    shared = f"Two networks of 23 layers share their first {K}. Every head, merged against separate:"
    put(f"{fitted(shared, room())}\n")
    put(render([asdict(row) for row in shown.comparisons], "text", room()))
    put("\nWhat that saves:\n")
    put(render(shown.savings.table(), "text", room()))
    put("\nWhat one pass of the merged network sees:\n")
    rows = [
        {"task": found.task, "name": name, "score": round(score, 2)}
        for found in shown.found
        for name, score, _ in found
    ]
    put(render(rows, "text", room()))
    put(f"\nThe picture with both tasks' boxes: {shown.picture}")
    say(*(f"\nNote: {note}" for note in shown.notes))
    cfg = shown.picture.with_suffix(".cfg")
    hint(Made([cfg, cfg.with_suffix(".weights")], load(cfg), picture=shown.picture.with_name(PHOTO)))
