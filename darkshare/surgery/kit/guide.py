"""Write the page that comes with a kit: commands for each fork, what drifts there, and how to finish."""

from __future__ import annotations

import shlex
from typing import NamedTuple


class Facts(NamedTuple):
    """Facts of a kit that the page names.

    Attributes:
        stem: of its files.
        k: how many layers are frozen.
        carrier: the layer with stopbackward.
        size: the input size, where it is not the base's.
        base: the base's cfg and weights.
        inserted: how many [route] layers were put in.
        batches: how many are trained.
        has_cpu: whether batch norm is frozen, so that AlexeyAB needs another cfg on a CPU.
        has_full: whether there are weights of full length.
        has_valid: whether there is a list of pictures to measure with.
        refused: forks that cannot read the cfg, with the reason.
        unlabelled: forks that do not find labels: of how many pictures, the first, and where they look.
    """

    stem: str
    k: int
    carrier: int
    size: str
    base: list[str]
    inserted: int
    batches: int
    has_cpu: bool
    has_full: bool
    has_valid: bool
    refused: dict[str, str]
    unlabelled: dict[str, tuple[int, str, str]]


def guide_page(facts: Facts) -> str:
    """The page as Markdown."""
    parts = [_opening(facts), _alexeyab(facts), _hank_ai(facts), _pjreddie(facts), _finish(facts)]
    return "\n".join(parts)


def _opening(facts: Facts) -> str:
    inserted = (
        f"\n{facts.inserted} `[route]` layer{'s were' if facts.inserted > 1 else ' was'} put in at layer {facts.k}, "
        "because no layer there could carry `stopbackward`; they change nothing in what it computes.\n"
        if facts.inserted
        else ""
    )
    return f"""\
# Train {facts.stem} from layer {facts.k} on

Layers 0 to {facts.k - 1} stay those of the base; {facts.batches} batches train the others. Run the commands in this
folder; `darknet` is the program of the fork. `train.txt` holds absolute paths: the pictures must stay where they are.

| file | |
|---|---|
| `{facts.stem}.cfg` | the network: `stopbackward=1` in layer {facts.carrier}, `learning_rate=0` in 0 to {facts.k - 1} |
{_rows(facts)}\
| `{facts.stem}.data`, `.names`, `*.txt` | the data set |
| `backup/` | where Darknet saves |
{inserted}"""


def _rows(facts: Facts) -> str:
    rows = [f"| `{facts.stem}.conv.{facts.k}` | the base's layers 0 to {facts.k - 1}, to start from |"]
    if facts.has_cpu:
        rows.append(f"| `{facts.stem}-cpu.cfg` | the same network for AlexeyAB's Darknet on a CPU |")
    if facts.has_full:
        rows.append(f"| `{facts.stem}-full.weights` | the same start with new weights for the other layers |")
    return "".join(f"{row}\n" for row in rows)


def _alexeyab(facts: Facts) -> str:
    cpu = (
        f"""
On a CPU it crashes with batch norm below `stopbackward=1`, so another cfg only ends the backward pass there:

{_shell(f"darknet detector train {_data(facts)} {_word(facts.stem + '-cpu.cfg')} {_start(facts)} -clear -dont_show")}

The kernels stay. **The rolling means and variances of batch norm drift**; put them back as below.
"""
        if facts.has_cpu
        else "\nOn a CPU the same command does the same.\n"
    )
    return f"""\
## AlexeyAB's Darknet
{_notes(facts, "alexeyab")}
{_shell(f"darknet detector train {_data(facts)} {_cfg(facts)} {_start(facts)} -clear -dont_show{_map(facts)}")}

On a GPU this freezes: nothing below layer {facts.k} moves.
{cpu}"""


def _hank_ai(facts: Facts) -> str:
    start = f"{facts.stem}-full.weights"
    made = "" if facts.has_full else "\nIt refuses weights that end early; `darkshare kit --full` makes the file.\n"
    return f"""\
## hank-ai's Darknet
{_notes(facts, "hank-ai")}{made}
{_shell(f"darknet detector{_map(facts)} -dont_show -clear train {_data(facts)} {_cfg(facts)} {_word(start)}")}

It trains on a GPU only, and freezes there: nothing below layer {facts.k} moves.
"""


def _pjreddie(facts: Facts) -> str:
    drift = (
        "**The rolling means and variances of batch norm drift**; put them back as below."
        if facts.has_cpu
        else "There is no batch norm\nbelow that could drift: nothing moves."
    )
    return f"""\
## pjreddie's Darknet
{_notes(facts, "pjreddie")}
{_shell(f"darknet detector train {_data(facts)} {_cfg(facts)} {_start(facts)} -clear")}

It has no frozen layers. `stopbackward` only ends the backward pass, and `learning_rate=0` keeps the kernels from
weight decay. {drift}
"""


def _finish(facts: Facts) -> str:
    base = " ".join(map(_word, facts.base))
    trained = f"{_cfg(facts)} {_word(f'backup/{facts.stem}_final.weights')}"
    ready = _word(f"{facts.stem}-ready")
    other = (
        f" (`{facts.stem}-cpu_final.weights` with that cfg; it fits `{facts.stem}.cfg` too)" if facts.has_cpu else ""
    )
    size = f" --size {facts.size}" if facts.size else ""
    return f"""\
## Finish

Darknet saves `backup/{facts.stem}_final.weights`{other}.

{
        _shell(
            f"darkshare snap {base} {trained} --k {facts.k} -o {ready}",
            f"darkshare frozen {base} {ready}.cfg --k {facts.k}",
            f"darkshare concat {base} {ready}.cfg --k {facts.k}{size} -o {_word(f'{facts.stem}-merged')}",
        )
    }

`snap` puts the base's layers back and says what had moved, `frozen` must then say that they are identical, `concat`
joins both networks.
{_after_snap(facts)}"""


def _after_snap(facts: Facts) -> str:
    if not facts.has_cpu:
        return ""
    return """\
Where statistics drifted, measure again after `snap`: the layers behind were trained on what batch norm made of each
batch, and now read what the base's own statistics make.
"""


def _notes(facts: Facts, fork: str) -> str:
    notes = ""
    if fork in facts.refused:
        notes += f"\n**It cannot read this cfg**: {facts.refused[fork]}.\n"
    if fork in facts.unlabelled:
        count, picture, place = facts.unlabelled[fork]
        cure = f"It looks for the first one's at\n`{place}`; copy or link the label files there."
        if not place.endswith(".txt"):
            cure = f"It does not know the suffix of\n`{picture}`; `darkshare import-data` writes files that it reads."
        notes += f"\n**It does not find the labels of {count} pictures.** {cure}\n"
    return notes


def _data(facts: Facts) -> str:
    return _word(f"{facts.stem}.data")


def _cfg(facts: Facts) -> str:
    return _word(f"{facts.stem}.cfg")


def _start(facts: Facts) -> str:
    return _word(f"{facts.stem}.conv.{facts.k}")


def _map(facts: Facts) -> str:
    return " -map" if facts.has_valid else ""


def _word(text: str) -> str:
    return shlex.quote(text)


def _shell(*commands: str) -> str:
    return "\n".join(["```sh", *commands, "```"])
