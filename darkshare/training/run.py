"""The course of a training: updates, validation, checkpoints, and the files that are left at the end."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, NamedTuple

from darkshare._files import exists
from darkshare._signals import uninterrupted
from darkshare.darknet.model import Model, load, save, sibling, stem_of
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import DarkshareError
from darkshare.inference.detector import Detector
from darkshare.inference.threads import made_ahead
from darkshare.training import checkpoints
from darkshare.training.assembly import assembled
from darkshare.training.building import trained
from darkshare.training.caching import Features
from darkshare.training.feeding import Feed, PictureFeed, copies_kept, features_of
from darkshare.training.files import TrainingFiles
from darkshare.training.guards import digest, memory_errors, require_torch, require_trunk
from darkshare.training.journal import Journal, Update
from darkshare.training.outcome import Outcome, measured
from darkshare.training.pictures.geometry import Size
from darkshare.training.pictures.loading import Source
from darkshare.training.pictures.makers import made_by
from darkshare.training.preparation import trunk_floats, updates
from darkshare.training.rates import settled
from darkshare.training.recipes import RECIPES
from darkshare.training.settings import Judge, Options, TrainingWatch
from darkshare.training.standing import Standing
from darkshare.training.stepping import Diverged, Launched, MiniBatch, Trainer

TIMES = 10  # how often the network is validated if nobody says


class Ready(NamedTuple):
    """The number of the next update, its examples, and what makes its parts of them."""

    number: int
    feed: Feed
    examples: Sequence[Any]


Course = Generator[Ready, Iterable[MiniBatch] | None, None]


class Training:
    """A training of a model from layer k on; the layers before stay the base's, byte for byte.

    Args:
        base: a model of one task, or an ensemble, whose branches are trained side by side.
        data: the pictures to learn from, with boxes or with a class each.
        stem: the path of the files without suffix.
        options: how to train.
        judge: measures mAP or top-1, such as `evaluate_model` or `classifier_accuracy` on other pictures.
        watch: is informed of what happens.
        protect: files that must not be replaced, usually the inputs.
        lists: the keys of the data's .data file that the new one keeps, unless its classes are numbered otherwise.
        test: measures the best network at the end, on pictures by which nothing was chosen.
        beside: another one from the same base, with whose network it shares the layers that stay.

    Raises:
        DarkshareError: something that cannot be trained.
    """

    trainer: Trainer

    def __init__(
        self, base: Model, data: Dataset | ClassifiedDataset, stem: Path, options: Options, *,
        judge: Judge | None = None, watch: TrainingWatch | None = None, protect: Sequence[str] = (),
        lists: Mapping[str, str] | None = None, test: Judge | None = None, beside: Training | None = None,
    ) -> None:  # fmt: skip
        require_torch()
        self.base, self.judge, self.test = base, judge, test
        self.watch = watch = watch or TrainingWatch()
        self.files = files = TrainingFiles(stem_of(stem))
        files.require_unread(protect)
        self.recipe = recipe = RECIPES[options.recipe]
        self.options = options = settled(base, data, options, recipe, files.checkpoint, watch)
        shared = beside.trainer.net if beside else None
        self.source, self.trainer, self.truths = assembled(base, data, options, recipe, files.stem.name, watch, shared)
        self.model = model = self.trainer.net.model
        self.batches, self.measure = updates(model), "top-1" if isinstance(data, ClassifiedDataset) else "mAP"
        self.lists = lists if lists and data.names == model.tasks[0].names else {}
        self.trunk = digest(trunk_floats(base, options.k))
        epochs = self.batches * self.trainer.batch / len(self.source.samples)
        self.copies = copies_kept(options, self.source, self.trainer.net, epochs, self.truths[0], watch)
        self.tenth, self.good = -(-self.batches // TIMES), -1  # updates; after how many the last good state was kept
        self.every = self.tenth if options.validate_every is None else options.validate_every
        patience = recipe.patience if options.patience is None else options.patience
        self.patience = patience * self.every  # in updates
        if judge and self.every:
            Detector(model)  # what no engine can run would fail at the first validation, after hours
        self.standing, self.shown = Standing(), 0
        self.launched: tuple[Launched, Size, float] | None = None  # whose numbers were not read yet; its begin
        self.settled = 0.0
        self.fingerprint = checkpoints.fingerprint(
            options, model, self.source.samples, self.trunk, self.trainer.ema, self.copies, self.trainer.taught_by
        )

    @property
    def done(self) -> int:
        """The number of updates that were made."""
        return self.standing.done

    def run(self) -> Outcome:
        """Train, and write the files at the end or when Ctrl-C ends it.

        Raises:
            DarkshareError: a loss that is not a number any more; the last good checkpoint stays then.
        """
        self.resume()
        self.begin()
        try:
            for _ in self.course():
                pass
        except KeyboardInterrupt:
            self.say_stopped()
        return self.finish()

    def begin(self) -> None:
        """Open the journal, and look at the clock."""
        self.begun = self.saved = monotonic()
        how = {"measure": self.measure, "precision": self.trainer.how.precision}
        self.journal = Journal(self.files.journal, self.done, **how)

    def course(self) -> Course:
        """Make all updates and validations that are left.

        It stops before each update, and takes the parts of it; with None, as `next` sends it, it makes them itself.
        """
        try:
            if self.has_work_left:
                yield from self._work()
        except DarkshareError:
            self.files.drop_course()
            raise

    def say_stopped(self) -> None:
        """Say where Ctrl-C stopped it."""
        with uninterrupted():
            try:
                self._settle()
            except Diverged as error:
                self._go_back(error)
        what = "validation" if self.done == self.batches else "training"
        self.watch.say(f"{what} stopped after batch {self.done} of {self.batches}; --resume goes on")

    def finish(self, *, keep: bool = False) -> Outcome:
        """Write the files; with a checkpoint where there is work left, or it is to be kept."""
        with uninterrupted():
            model, written = self._finished(keep=keep)
        tested = self._tested()
        now, seconds, entries = self.standing, monotonic() - self.begun, tuple(self.journal.entries)
        last, mistakes = (now.map, now.mistakes) if now.validated == now.done else (None, "")
        return Outcome(
            model, now.done, self.batches, last, now.best, now.best_batch, seconds, now.rule, tuple(written), entries,
            self.measure, self.has_work_left, tested, mistakes, now.best_mistakes,
        )  # fmt: skip

    def _tested(self) -> float | None:
        """The measure of the best network on pictures by which nothing was chosen."""
        if self.test is None or self.has_work_left or self.standing.best is None:
            return None
        best = load(sibling(self.files.best, ".cfg"), dialect=self.model.network.dialect)
        return self.test(best).mean

    def _work(self) -> Course:
        with made_by(self.source, self.options.workers, self.trainer.device.type) as source:
            feed = self._feed(source)
            if self._is_unvalidated:
                self._validate()  # Ctrl-C ended the last run before it
            self.watch.begin(self.done, self.batches)
            self.shown = self.done
            while self._has_updates_left:
                try:
                    yield from self._go_on(feed)
                except Diverged as error:  # noqa: PERF203 - a few times at most
                    with uninterrupted():
                        self._go_back(error)

    def _go_on(self, feed: Feed) -> Course:
        """Make all updates that are left.

        Raises:
            Diverged: the network does not learn any more.
        """
        numbers = range(self.done + 1, self.batches + 1)
        with closing(made_ahead(map(feed.jobs, numbers), self.options.workers)) as coming:
            for number in numbers:
                if self._is_good(number - 1):
                    with uninterrupted():
                        self._save(self.files.good)
                begun = perf_counter()
                examples = next(coming)
                made = perf_counter() - begun
                parts = yield Ready(number, feed, examples)
                with uninterrupted(), memory_errors():
                    self._launch(number, feed, parts or feed.parts(examples), perf_counter() - made)
                if self._is_due(number):
                    self._validate()
                self._show()
                if monotonic() - self.saved >= self.options.checkpoint_every:
                    with uninterrupted():
                        self._save(self.files.checkpoint)
                if self.done < self.batches and not self._has_updates_left:
                    self._say_flat()
                    return
        with uninterrupted():
            self._settle()
        self._show()

    def _show(self) -> None:
        """Tell of the updates whose numbers are known since the last time."""
        news = [entry for entry in self.journal.entries[-2:] if entry.batch > self.shown]
        self.shown = self.done
        for entry in news:
            self.watch.step(entry)
        if self.journal.wants_figure:
            with uninterrupted():
                self._draw()

    def _say_flat(self) -> None:
        ago = (self.done - self.standing.best_batch) // self.every
        self.watch.say(f"{self.measure} has not risen in {ago} validations, so it ends here; --patience 0 goes on")

    def _go_back(self, error: Diverged) -> None:
        """Take the last good state, and half the rate.

        Raises:
            Diverged: that was done often enough.
        """
        if self.standing.restarts >= self.recipe.retries:
            raise error
        state = checkpoints.read_state(self.files.good, self.fingerprint)
        state["standing"]["restarts"] = self.standing.restarts + 1
        self._take(state)
        self.journal.go_back(self.done)
        self.shown = self.done
        self.watch.say(f"{error.message.partition(';')[0]}; it goes on after batch {self.done} at half the rate")

    def _launch(self, number: int, feed: Feed, parts: Iterable[MiniBatch], begun: float) -> None:
        launched = self.trainer.launch(number, parts)
        self._settle()  # the update before, while a GPU is at this one
        self.launched = launched, feed.size(number), begun
        if not self.trainer.ahead:
            self._settle()

    def _settle(self) -> None:
        """Read the numbers of the update that was launched last, and write them down.

        Raises:
            Diverged: they are not numbers any more.
        """
        if self.launched is None:
            return
        (launched, size, begun), self.launched = self.launched, None
        step, number = launched.step, launched.number
        self.standing.done = number
        seen, mean, now = number * self.trainer.batch, self.journal.mean_with(step.loss), perf_counter()
        seconds, self.settled = round(now - max(begun, self.settled), 4), now
        how = step.rate, *size, step.loss, mean, step.iou, step.objectness, seconds
        self.journal.add(Update(number, seen, *how, self.standing.restarts))

    def _is_due(self, number: int) -> bool:
        """Whether the network is to be validated after this update."""
        wanted = self.judge is not None and self.every > 0 and number > 0
        return wanted and (number % self.every == 0 or number == self.batches)

    @property
    def _is_unvalidated(self) -> bool:
        return self._is_due(self.done) and self.standing.validated < self.done

    @property
    def has_work_left(self) -> bool:
        """Whether there is anything to go on with."""
        return self._has_updates_left or self._is_unvalidated

    @property
    def _has_updates_left(self) -> bool:
        return self.done < self.batches and not self.standing.is_flat(self.patience)

    def _validate(self) -> None:
        assert self.judge is not None
        self._settle()
        model = self._model()
        found = self.judge(model)
        with uninterrupted():
            better = self.standing.measured(found)
            self.journal.amend(found.mean)
            if better:
                save(model, self.files.best, data=self.lists)
            self._draw()
            self._save(self.files.checkpoint, *[self.files.good] * self._is_good(self.done))
        best = ", the best so far" if better else ""
        self.watch.say(f"batch {self.done}: {measured(self.measure, found.mean, found.mistakes)}{best}")

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

    def _is_good(self, number: int) -> bool:
        """Whether the state after this update is to be kept to go back to, and was not yet."""
        return self.recipe.retries > 0 and number % self.tenth == 0 and number > self.good

    def _save(self, *paths: Path) -> None:
        self._settle()
        state = {
            "fingerprint": self.fingerprint, "standing": asdict(self.standing), "trainer": self.trainer.state(),
            "rate": self.options.changes.rate, "batches": self.batches,
        }  # fmt: skip
        checkpoints.write_state(paths, state)
        if self.files.checkpoint in paths:
            self.saved = monotonic()
        if self.files.good in paths:
            self.good = self.done

    def resume(self) -> None:
        """Take the checkpoint, if there is one.

        Raises:
            DarkshareError: it is not to be gone on from, or of another training.
        """
        path = self.files.checkpoint
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
        self.standing = Standing(**state["standing"])
        self.trainer.slower = 0.5**self.standing.restarts

    def _finished(self, *, keep: bool) -> tuple[Model, list[Path]]:
        if self.source.unreadable:
            self.watch.say(f"{self.source.unreadable}; the pictures behind them in the list were taken instead")
        if keep or self.has_work_left:
            self._save(self.files.checkpoint)
        model = self._model()
        written = save(model, self.files.stem, data=self.lists)
        if self.journal.entries:
            self._draw()
            written += [self.journal.path, self.journal.figure]
        if not self.has_work_left:
            self.files.drop_states(keep=keep)
        return model, written

    def _draw(self) -> None:
        self.journal.draw(f"{self.files.stem.name}, k={self.options.k}, batch {self.done} of {self.batches}")

    def _feed(self, source: Source) -> Feed:
        """The source of examples: the cache, if there is one, or the pictures."""
        pictures = self.pictures(source)
        if not self.copies:
            return pictures
        found = self.features()
        pictures.fill([found], self.options, self.watch)
        return pictures.from_cache(found.cache)

    def pictures(self, source: Source) -> PictureFeed:
        """The pictures, as updates take them."""
        mini = self.trainer.batch // max(self.model.network.net.subdivisions, 1)
        return PictureFeed(source, self.trainer.trunk, self.trainer.batch, mini, self.batches)

    def features(self) -> Features:
        """The cache of what the trunk gives, where there are `copies`, as far as it is filled."""
        how = self.fingerprint, self.options.cache_dtype, self.truths
        return features_of(self.source, self.trainer.net, self.files.features, *how)
