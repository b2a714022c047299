"""Pictures without objects, which teach a detector what is not one."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from darkshare.darknet.typed import typed
from darkshare.data.types import Dataset

SMALL = 1000  # pictures: what larger sets show around their objects teaches a detector enough of the rest
FEW = 0.05  # of them; below that, hardly a batch of 16 holds one


def lack_of_negatives(learn: Dataset, listed: Path) -> list[str]:
    """Describe what comes of too few pictures without objects, in lines of 80 columns, and give the command that helps.

    A detector is only punished for what it finds beside the objects of its own pictures. From 160 portraits of
    raccoons it learns that whatever fills a picture is one. AlexeyAB's advice is as many pictures without objects as
    with them.

    Args:
        learn: the pictures to train on.
        listed: the list of them.

    Returns:
        The lines; none where there are enough.
    """
    count = len(learn.samples)
    empty = sum(not sample.boxes for sample in learn.samples)
    if not count or count >= SMALL or empty >= FEW * count:
        return []
    has = f"{empty or 'None'} of the {count} pictures to train on {'are' if empty > 1 else 'is'} without objects"
    advice = (
        f"{has}: the detector will take much else for one (of raccoons: people, at 0.95). Add about {count - empty} "
        "pictures of what else it will see, each with an empty .txt beside it:"
    )
    where = typed(listed)
    return [*wrap(advice, 80), f'for f in NEGATIVES/*.jpg; do : > "${{f%.*}}.txt"; realpath "$f" >> {where}; done']
