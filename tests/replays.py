"""First steps that Darknet took, taken again: fixtures of tests/fixtures/training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruns import model_of

from darkshare.training.building import build, trained
from darkshare.training.losses import Report, gradient, head_losses
from darkshare.training.optimising import Schedule, batch_size, optimiser, set_rate

F = np.float32


class Replay:
    """A fixture run again: the same pictures, truths and weights, one mini-batch after the other."""

    def __init__(self, path: Path, norm: str = "") -> None:
        import torch

        self.given = np.load(path)
        self.fork = path.stem.partition("-")[0]
        self.model = model_of(str(self.given["cfg"]), self.given["weights"].astype(F), dialect=self.fork)
        self.network = self.model.network
        self.net = build(self.model, 0, norm=norm or self.fork).train()
        self.losses = head_losses(self.network, self.net.heads, self.fork)
        self.options = self.network.net
        self.batch = batch_size(self.options)
        self.mini = self.batch // self.options.subdivisions
        self.seen = int(self.given["seen"])
        self.x = torch.from_numpy(self.given["x"].astype(F) / F(255))
        self.optimiser = optimiser(self.net, self.options, self.fork)

    def truths(self, part: slice) -> Any:
        if "ids" in self.given:
            return self.given["ids"][part]
        return [rows[:n] for rows, n in zip(self.given["truths"][part], self.given["counts"][part], strict=True)]

    def pass_on(self, number: int) -> Iterator[tuple[int, np.ndarray, Report]]:
        """One mini-batch forward and back; yields (layer, delta, report) of each head."""
        import torch

        part = slice(number * self.mini, (number + 1) * self.mini)
        self.seen += self.mini
        raws: dict[int, Any] = self.net(self.x[part])
        back = []
        for index, raw in raws.items():
            delta, tally = self.losses[index].delta(raw, self.truths(part), seen=self.seen)
            back.append(gradient(delta, self.batch))
            yield index, delta.numpy(), tally.read()
        torch.autograd.backward(list(raws.values()), back)

    def update(self) -> np.ndarray:
        """The floats of the network after an update."""
        set_rate(self.optimiser, Schedule.of(self.options).rate(self.seen // self.batch))
        self.optimiser.step()
        self.optimiser.zero_grad()
        model = trained(self.net, self.model)
        return model.weights.view(0, model.weights.size)
