"""`suggest-k`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from darkshare._tables import render
from darkshare.analysis.stats import stats
from darkshare.choose_k.guessing import (
    Agreement,
    Guess,
    advice,
    agreement,
    basis_of,
    candidates,
    guess_rows,
    ranked,
    to_json,
    with_differences,
    with_features,
    with_swaps,
)
from darkshare.choose_k.regions import Regions, regions_of
from darkshare.choose_k.results import measured_maps
from darkshare.choose_k.swapping import swap_curve
from darkshare.cli.options import dialect_option, format_option, load_all, size_option
from darkshare.cli.parameters import NUMBERS
from darkshare.darknet.model import Model
from darkshare.data import read_data
from darkshare.training.guards import require_pictures, require_torch


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="BASE.cfg [BASE.weights] [TRAINED.cfg] [DATA.data]")
@click.option("--k", "ks", type=NUMBERS, default=(), help="Cuts to look at.  [default: the ends of blocks]")
@click.option("--loss", type=click.FloatRange(0), default=1.0, show_default=True, help="mAP points that may be lost.")
@click.option("--budget", type=click.FloatRange(0, 100), help="FLOPs that must be saved, in % of a further network.")
@click.option("--boxes", type=click.IntRange(20), default=300, show_default=True, help="Labelled objects to look at.")
@click.option("--recalibrate", type=click.IntRange(2), help="Pictures on which batch norm is measured again.")
@click.option("--sweep", "measured", metavar="FOLDER", help="Hold the guesses against what a sweep measured.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of pictures and backgrounds.")
@click.option("--threads", type=click.IntRange(1), help="To compute with.")
@size_option
@dialect_option
@format_option
def suggest_k(files: tuple[str, ...], form: str, **how: Any) -> None:
    """Guess how many layers to share, without training.

    With a base alone: where it can be cut and what that saves. With data: how well the base's layers tell the labelled
    objects of train= apart (LogME). With a network that was trained from the base: how far its layers moved, and with
    data its mAP on valid= after its first k layers are replaced by the base's. These are guesses; sweep measures.

    \b
    Examples:
      darkshare suggest-k yolov3.cfg yolov3.weights text.data
      darkshare suggest-k yolov3.cfg text.cfg text.data --loss 2
      darkshare suggest-k tiny.cfg masks.data --budget 50 --sweep masks-sweep
    """
    guessing = Guessing.of(files, **how)
    guesses = guessing.guesses()
    agreements = guessing.agreements(guesses)
    if form == "json":
        click.echo(json.dumps(guessing.to_json(guesses, agreements), indent=1))
        return
    click.echo(render(guess_rows(guesses), form))
    for line in guessing.lines(guesses, agreements):
        click.echo(line, err=form == "csv")


@dataclass
class Guessing:
    """One guess as asked for on the command line."""

    base: Model
    tuned: Model | None
    data: str | None
    how: dict[str, Any]
    whole: float | None = None

    @classmethod
    def of(cls, files: Sequence[str], *, size: tuple[int, int] | None, dialect: str, **how: Any) -> Guessing:
        """Load what is given."""
        of_model = [path for path in files if Path(path).suffix in (".cfg", ".weights")]
        data = [path for path in files if path not in of_model]
        models = load_all(of_model, size=size, dialect=dialect, partial=True)
        if not 1 <= len(models) <= 2 or len(data) > 1:
            raise click.UsageError("give a base, perhaps a network trained from it, and perhaps one .data file")
        if how["recalibrate"] and not (data and len(models) > 1):
            raise click.UsageError("--recalibrate is for a trained network and data; give both")
        return cls(models[0], models[1] if len(models) > 1 else None, data[0] if data else None, how)

    def guesses(self) -> list[Guess]:
        """Look at everything that is given."""
        found = candidates(self.base.network, self.how["ks"])
        if self.tuned is not None:
            (compared,) = stats(self.base, self.tuned)
            found = with_differences(found, compared)
        if self.data is not None:
            found = with_features(found, self._regions(found, self.data))
        if self.tuned is not None and self.data is not None:
            found = with_swaps(found, self._curve(self.tuned, self.data, [one.k for one in found]))
        return ranked(found)

    def agreements(self, guesses: Sequence[Guess]) -> list[Agreement]:
        """How the guesses agree with the sweep, if one is given."""
        if self.how["measured"] is None:
            return []
        return agreement(guesses, measured_maps(Path(self.how["measured"]), self.base))

    def advice(self, guesses: Sequence[Guess]) -> dict[str, int | None]:
        """See `advice`."""
        budget = self.how["budget"]
        return advice(guesses, self.whole, self.how["loss"], None if budget is None else budget / 100)

    def lines(self, guesses: Sequence[Guess], agreements: Sequence[Agreement]) -> Iterator[str]:
        """What to take, and what that is worth."""
        yield ""
        if self.whole is not None:
            yield f"the trained network itself: mAP {100 * self.whole:.2f} %"
        for question, k in self.advice(guesses).items():
            yield f"{question}: {'none of these' if k is None else f'k={k}'}"
        yield WORTH[basis_of(guesses)]
        for one in agreements:
            tau = "no tau" if one.tau is None else f"Kendall's tau {one.tau:.2f}"
            lost = f"its first choice loses {100 * one.regret:.2f} points"
            yield f"against {one.ks} k of the sweep, by {one.basis}: {tau}, {lost}"

    def to_json(self, guesses: Sequence[Guess], agreements: Sequence[Agreement]) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "trained_map": self.whole,
            "advice": self.advice(guesses),
            "worth": WORTH[basis_of(guesses)],
            "guesses": to_json(guesses),
            "agreement": [one._asdict() for one in agreements],
        }

    def _regions(self, found: Sequence[Guess], data: str) -> Regions:
        require_torch()
        if self.how["threads"]:
            import torch

            torch.set_num_threads(self.how["threads"])
        layers = [one.k - 1 for one in found]
        learn = read_data(data, "train")
        require_pictures(learn)
        return regions_of(
            self.base, learn, layers, boxes=self.how["boxes"], seed=self.how["seed"], watch=_bar("features")
        )

    def _curve(self, tuned: Model, data: str, ks: Sequence[int]) -> dict[int, float]:
        valid = read_data(data, "valid")
        require_pictures(valid)
        count = self.how["recalibrate"] or 0
        again = [sample.picture for sample in read_data(data, "train").samples[:count]] if count else []
        curve = swap_curve(
            self.base, tuned, valid, ks, recalibrate=again, threads=self.how["threads"], watch=_bar("swaps")
        )
        self.whole = curve[0].mean
        return {k: one.mean for k, one in curve.items()}


WORTH = {
    None: "By k, not by accuracy: nothing here tells what mAP a k costs; data or a trained network would, a little.",
    "logme": (
        "A guess: the rank is that of a linear classifier on the base's features. Nobody has shown that this orders\n"
        "the mAP of retrained detectors, and the standard errors only say how much it depends on the pictures."
    ),
    "swap": (
        "A guess: the rank is that of networks that were not trained any further. Training from layer k on should\n"
        "make each of them better, but nothing here tells by how much, and the order may change."
    ),
}


def _bar(label: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A progress bar on a terminal."""

    def shown(items: Sequence[Any]) -> Iterator[Any]:
        with click.progressbar(items, label=label, show_pos=True, file=sys.stderr) as bar:
            yield from bar

    return shown if sys.stderr.isatty() else iter
