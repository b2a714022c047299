"""The course of a training: updates, validation, checkpoints, and the files that are left at the end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from darkshare._files import exists, require_unread
from darkshare._signals import uninterrupted
from darkshare.darknet.cfg import to_bytes
from darkshare.darknet.model import Model, save, sibling, stem_of
from darkshare.data import ClassifiedDataset, Dataset, in_order
from darkshare.data.forks import crowded
from darkshare.data.negatives import with_negatives
from darkshare.errors import BadValue, DarkshareError, warn
from darkshare.inference.detector import Detector
from darkshare.inference.threads import made_ahead
from darkshare.training import caching, checkpoints, cropping, loading
from darkshare.training.augmenting import Augmentation
from darkshare.training.building import build, trained
from darkshare.training.cropping import Crops
from darkshare.training.feeding import FeatureFeed, Feed, PictureFeed
from darkshare.training.guards import (
    device_of,
    digest,
    digest_of_pictures,
    memory_errors,
    require_pictures,
    require_torch,
    require_trunk,
)
from darkshare.training.journal import Journal, Update, plot_training
from darkshare.training.loading import Source
from darkshare.training.outcome import BEST, Outcome
from darkshare.training.preparation import prepared, trunk_floats, updates
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Judge, Options, TrainingWatch
from darkshare.training.stepping import Diverged, Trainer

CHECKPOINT, GOOD, FEATURES = ".checkpoint", ".good", ".features"
_WRITTEN = (".cfg", ".weights", ".names", ".data", ".tasks.json")
_OF_FEATURES = ("k", "seed", "network", "trunk", "pictures", "augment")  # what a cache depends on
_TIMES = 10  # how often the network is validated if nobody says


def run_training(
    base: Model,
    data: Dataset | ClassifiedDataset,
    output: str | Path,
    options: Options,
    *,
    judge: Judge | None = None,
    watch: TrainingWatch | None = None,
    protect: Sequence[str] = (),
    lists: Mapping[str, str] | None = None,
) -> Outcome:
    """Train a model from layer k on; the layers before stay the base's, byte for byte.

    Args:
        base: a model of one task, or an ensemble, whose branches are trained side by side.
        data: the pictures to learn from, with boxes or with a class each.
        output: the path of the files without suffix.
        options: how to train.
        judge: measures mAP or top-1, such as `evaluate_model` or `classifier_accuracy` on other pictures.
        watch: is informed of what happens.
        protect: files that must not be replaced, usually the inputs.
        lists: the keys of the data's .data file that the new one keeps, unless its classes are numbered otherwise.

    Raises:
        DarkshareError: something that cannot be trained, or a loss that is not a number any more; the last good
            checkpoint stays then.
    """
    require_torch()
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    watch = watch or TrainingWatch()
    if options.negatives:
        if isinstance(data, ClassifiedDataset):
            raise BadValue("negatives are for detectors; a classifier has a class for every picture")
        data, said = with_negatives(data, options.negatives, options.seed)
        watch.say(said)
    return Training(base, data, Path(output), options, judge, watch, protect, lists).run()


class Training:
    """A training with everything that it needs. See `run_training` for the arguments."""

    def __init__(
        self,
        base: Model,
        data: Dataset | ClassifiedDataset,
        stem: Path,
        options: Options,
        judge: Judge | None,
        watch: TrainingWatch,
        protect: Sequence[str],
        lists: Mapping[str, str] | None = None,
    ) -> None:
        self.base, self.options, self.judge, self.watch = base, options, judge, watch
        self.stem = stem_of(stem)
        best = sibling(self.stem, BEST)
        require_unread([sibling(s, x) for s in (self.stem, best) for x in _WRITTEN], protect)
        require_pictures(data)
        self.recipe = recipe = RECIPES[options.recipe]
        model, notes = prepared(base, data, options.k, options.changes, recipe, seed=options.seed, name=self.stem.name)
        for note in notes:
            watch.say(note)
        self.lists = lists if lists and data.names == model.tasks[0].names else {}
        data, network = in_order(data, model.tasks[0].names), model.network
        self.measure = "top-1" if isinstance(data, ClassifiedDataset) else "mAP"
        given = Crops.of(network) if isinstance(data, ClassifiedDataset) else Augmentation.of(network)
        how = given if options.augment else None
        self.most, self.columns = (cropping.MOST, 2) if isinstance(given, Crops) else (given.most, 5)
        if isinstance(data, Dataset) and (what := crowded(data.samples, self.most)):
            warn(what)
        if how:
            loading.require_sizes(network)
        self.model, self.batches, self.source = model, updates(model), Source(data.samples, network, how, options.seed)
        device = device_of(options.device)
        net = build(model, options.k, bn_epsilon=options.bn_epsilon, norm="rolling" if options.bn_eval else "batch")
        ema = (network.net.ema_alpha or recipe.ema) if options.ema is None else options.ema
        net = net.to(device)
        self.trainer = Trainer(net, device=device, seed=options.seed, amp=options.amp, ema=ema, clip=recipe.clip)
        self.trunk = digest(trunk_floats(base, options.k))
        self.estimate = self._estimated()
        self.copies = options.cache_features if self.estimate and (self.estimate.pays or options.cache_anyway) else 0
        self.every = -(-self.batches // _TIMES) if options.validate_every is None else options.validate_every
        if judge and self.every:
            Detector(model)  # what no engine can run would fail at the first validation, after hours
        self.done, self.validated, self.best_batch, self.restarts, self.rule = 0, 0, 0, 0, ""
        self.map: float | None = None
        self.best: float | None = None
        self.fingerprint = self._fingerprint(data, ema)

    def run(self) -> Outcome:
        """Train, and write the files at the end or when Ctrl-C ends it."""
        begun = perf_counter()
        self._resume()
        self.journal = Journal(sibling(self.stem, ".csv"), self.done, measure=self.measure)
        self.saved = monotonic()
        try:
            self._work()
        except KeyboardInterrupt:
            what = "validation" if self.done == self.batches else "training"
            self.watch.say(f"{what} stopped after batch {self.done} of {self.batches}; --resume goes on")
        except DarkshareError:
            if not exists(sibling(self.stem, CHECKPOINT)):  # nothing goes on from here
                for suffix in (".csv", GOOD):
                    sibling(self.stem, suffix).unlink(missing_ok=True)
            raise
        with uninterrupted():
            written = self._finished()
        return Outcome(
            self.written,
            self.done,
            self.batches,
            self.map if self.validated == self.done else None,
            self.best,
            self.best_batch,
            perf_counter() - begun,
            self.rule,
            tuple(written),
            tuple(self.journal.entries),
            self.measure,
            self._has_work_left,
        )

    def _work(self) -> None:
        feed = self._feed()
        if self._is_unvalidated:
            self._validate()  # Ctrl-C ended the last run before it
        self.watch.begin(self.done, self.batches)
        while self.done < self.batches:
            try:
                self._go_on(feed)
            except Diverged as error:  # noqa: PERF203 - a few times at most
                with uninterrupted():
                    self._go_back(error)

    def _go_on(self, feed: Feed) -> None:
        """Make all updates that are left.

        Raises:
            Diverged: the network does not learn any more.
        """
        numbers = range(self.done + 1, self.batches + 1)
        with closing(made_ahead(map(feed.jobs, numbers), self.options.workers)) as coming:
            for number in numbers:
                if self.recipe.retries and self.done % -(-self.batches // _TIMES) == 0:
                    with uninterrupted():
                        self._save(GOOD)
                begun = perf_counter()
                examples = next(coming)
                with uninterrupted(), memory_errors():
                    self._update(number, feed, examples, begun)
                if self._is_due(number):
                    self._validate()
                self.watch.step(self.journal.entries[-1])
                if monotonic() - self.saved >= self.options.checkpoint_every:
                    with uninterrupted():
                        self._save()

    def _go_back(self, error: Diverged) -> None:
        """Take the last good state, and half the rate.

        Raises:
            Diverged: that was done often enough.
        """
        if self.restarts >= self.recipe.retries:
            raise error
        restarts = self.restarts + 1
        self._take(checkpoints.read_state(sibling(self.stem, GOOD), self.fingerprint))
        self._slow_down(restarts)
        self.journal.go_back(self.done)
        self.watch.say(f"{error.message.partition(';')[0]}; it goes on after batch {self.done} at half the rate")

    def _slow_down(self, restarts: int) -> None:
        self.restarts, self.trainer.slower = restarts, 0.5**restarts

    def _update(self, number: int, feed: Feed, examples: Sequence[Any], begun: float) -> None:
        step = self.trainer.update(number, feed.parts(examples))
        self.done = number
        seen, mean = number * self.trainer.batch, self.journal.mean_with(step.loss)
        seconds = round(perf_counter() - begun, 4)
        measured = (step.rate, *feed.size(number), step.loss, mean, step.iou, step.objectness, seconds, self.restarts)
        self.journal.add(Update(number, seen, *measured))

    def _is_due(self, number: int) -> bool:
        """Whether the network is to be validated after this update."""
        wanted = self.judge is not None and self.every > 0 and number > 0
        return wanted and (number % self.every == 0 or number == self.batches)

    @property
    def _is_unvalidated(self) -> bool:
        return self._is_due(self.done) and self.validated < self.done

    @property
    def _has_work_left(self) -> bool:
        """Whether there is anything to go on with."""
        return self.done < self.batches or self._is_unvalidated

    def _validate(self) -> None:
        assert self.judge is not None
        model = self._model()
        found = self.judge(model)
        with uninterrupted():
            self.map, self.rule, self.validated = found.mean, str(found.rule), self.done
            self.journal.amend(found.mean)
            better = self.best is None or found.mean > self.best
            if better:
                self.best, self.best_batch = found.mean, self.done
                save(model, sibling(self.stem, BEST), data=self.lists)
            self._draw()
            self._save()
        self.watch.say(
            f"batch {self.done}: {self.measure} {100 * found.mean:.2f} %{', the best so far' if better else ''}"
        )

    def _model(self) -> Model:
        """The model as it is now; its trunk is the base's.

        Raises:
            TrunkMismatch: it is not.
        """
        source = self.model if self.base.weights is None else self.base
        with self.trainer.averaged() as net:
            model = trained(net, source, seen=self.done * self.trainer.batch)
        require_trunk(model, self.base, self.options.k, self.trunk)
        return model

    def _save(self, suffix: str = CHECKPOINT) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "done": self.done,
            "restarts": self.restarts,
            "validated": self.validated,
            "map": self.map,
            "best": self.best,
            "best_batch": self.best_batch,
            "rule": self.rule,
            "trainer": self.trainer.state(),
        }
        checkpoints.write_state(sibling(self.stem, suffix), state)
        if suffix == CHECKPOINT:
            self.saved = monotonic()

    def _resume(self) -> None:
        path = sibling(self.stem, CHECKPOINT)
        if not exists(path):
            if self.options.resume:
                self.watch.say(f"{path}: there is no checkpoint, so the training starts at the beginning")
            return
        if not self.options.resume:
            raise DarkshareError(
                "is of a training that was stopped; --resume goes on with it, or remove it", file=str(path)
            )
        self._take(checkpoints.read_state(path, self.fingerprint))
        self.watch.say(f"goes on after batch {self.done} of {self.batches}")

    def _take(self, state: Mapping[str, Any]) -> None:
        self.trainer.restore(state["trainer"])
        self._slow_down(state["restarts"])
        self.done, self.validated, self.map = state["done"], state["validated"], state["map"]
        self.best, self.best_batch, self.rule = state["best"], state["best_batch"], state["rule"]

    def _finished(self) -> list[Path]:
        """Write the files; with a checkpoint where there is work left."""
        if self.source.unreadable:
            self.watch.say(f"{self.source.unreadable}; the pictures behind them in the list were taken instead")
        if self._has_work_left:
            self._save()
        self.written = self._model()
        written = save(self.written, self.stem, data=self.lists)
        if self.journal.entries:
            self._draw()
            written += [self.journal.path, sibling(self.stem, ".png")]
        if not self._has_work_left:
            for suffix in (CHECKPOINT, GOOD):
                sibling(self.stem, suffix).unlink(missing_ok=True)
            shutil.rmtree(sibling(self.stem, FEATURES), ignore_errors=True)
        return written

    def _draw(self) -> None:
        title = f"{self.stem.name}, k={self.options.k}"
        plot_training(self.journal.entries, sibling(self.stem, ".png"), title=title, measure=self.measure)

    def _feed(self) -> Feed:
        """The source of examples: the cache, if there is one, or the pictures."""
        trainer, source = self.trainer, self.source
        mini = trainer.batch // max(self.model.network.net.subdivisions, 1)
        if not self.copies:
            return PictureFeed(source, trainer.net, trainer.device, trainer.batch, mini, self.batches, trainer.amp)
        folder, net, count = sibling(self.stem, FEATURES), trainer.net, len(source.samples)
        cache = caching.open_cache(
            folder, source.network, net.reads, self.copies, count, self.most,
            dtype=self.options.cache_dtype, columns=self.columns,
        )  # fmt: skip
        size = source.network.input.w, source.network.input.h
        about = {key: value for key, value in self.fingerprint.items() if key in _OF_FEATURES}
        about |= {"dtype": self.options.cache_dtype, "copies": self.copies}
        caching.fill_cache(
            cache, net, source, about, size=size, batch=mini, workers=self.options.workers, device=trainer.device,
            progress=self.watch.cached,
        )  # fmt: skip
        return FeatureFeed(source, cache, trainer.device, trainer.batch, mini)

    def _estimated(self) -> caching.Estimate | None:
        """The cost and the gain of the cache, announced to the watch; None where no cache is asked for."""
        options, network = self.options, self.model.network
        if not options.cache_features:
            return None
        if not options.k:
            raise BadValue("--cache-features keeps what the trunk gives, but with k=0 there is no trunk")
        count, net = len(self.source.samples), self.trainer.net
        epochs = self.batches * self.trainer.batch / count
        rows = count * options.cache_features
        found = caching.estimate(network, net.reads, options.k, rows, epochs, count, self.most)
        self.watch.say(
            f"feature cache: {options.cache_features} x {count} pictures, layers {_numbers(net.reads)}: {found}"
        )
        if not found.pays and not options.cache_anyway:
            self.watch.say(f"it is left off, as it is not {caching.PAYS:g} times as fast; --cache-anyway keeps it")
        elif loading.spread_of(network) and options.augment:
            self.watch.say("with the cache the input keeps its size, although the cfg says random=")
        return found

    def _fingerprint(self, data: Dataset | ClassifiedDataset, ema: float) -> dict[str, object]:
        """The settings and inputs that make two trainings the same: a checkpoint of another training is refused."""
        options, model = self.options, self.model
        assert model.weights is not None
        return {
            "k": options.k,
            "recipe": options.recipe,
            "seed": options.seed,
            "dialect": model.network.dialect,
            "network": hashlib.sha256(to_bytes(model.network.cfg)).hexdigest(),
            "trunk": self.trunk,
            "start": digest(model.weights.runs),
            "pictures": digest_of_pictures(data.samples),
            "augment": options.augment,
            "bn-epsilon": options.bn_epsilon,
            "bn-eval": options.bn_eval,
            "amp": options.amp,
            "ema": ema,
            "cache-features": self.copies,
        }


def _numbers(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
