"""The place where a training stands, which its checkpoint keeps beside the tensors."""

from __future__ import annotations

from dataclasses import dataclass

from darkshare.training.settings import Score


@dataclass
class Standing:
    """The place where a training stands.

    Attributes:
        done: how many updates were made.
        restarts: how often it went back to a good state because it diverged.
        validated: after which update it was last measured.
        map: what was measured then, of 0..1; of a classifier, top-1.
        best: the highest measured.
        best_batch: after which update that was.
        rule: by which it was counted.
        mistakes: of the last that was measured, in words.
        best_mistakes: of the best.
    """

    done: int = 0
    restarts: int = 0
    validated: int = 0
    map: float | None = None
    best: float | None = None
    best_batch: int = 0
    rule: str = ""
    mistakes: str = ""
    best_mistakes: str = ""

    def measured(self, found: Score) -> bool:
        """Note what was measured now; whether it is the best so far."""
        self.map, self.rule, self.mistakes, self.validated = found.mean, str(found.rule), found.mistakes, self.done
        better = self.best is None or found.mean > self.best
        if better:
            self.best, self.best_mistakes, self.best_batch = found.mean, found.mistakes, self.done
        return better

    def is_flat(self, updates: int) -> bool:
        """Whether the best, which found anything at all, was so many updates ago; never for 0."""
        return bool(updates and self.best) and self.validated - self.best_batch >= updates
