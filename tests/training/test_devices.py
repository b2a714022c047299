"""Copies to and from a GPU: in which order streams are asked for what, with a stand-in that only writes it down."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare.training import devices  # noqa: E402

CPU = torch.device("cpu")


class Stream:
    """Stands for a stream, and for an event on one."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def wait_stream(self, other: Stream) -> None:
        self.log.append(f"{self.name} waits for {other.name}")

    def record(self) -> None:
        self.log.append("event")

    def synchronize(self) -> None:
        self.log.append("wait for the event")


@pytest.fixture
def log(monkeypatch):
    """What a GPU is asked for, in order; tensors stay in ordinary memory."""
    asked: list[str] = []
    streams = {name: Stream(name, asked) for name in ("side", "main")}
    real = torch.empty

    @contextmanager
    def entered(stream):
        asked.append(f"on {stream.name}")
        yield
        asked.append(f"off {stream.name}")

    def empty(*args, pin_memory=False, **how):
        asked.append("pinned memory" if pin_memory else "memory")
        return real(*args, **how)

    def pinned(values):
        asked.append("pin")
        return values

    monkeypatch.setattr(devices, "is_gpu", lambda device: True)
    monkeypatch.setattr(devices, "_side_stream", lambda device: streams["side"])
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams["main"])
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "Event", lambda: Stream("event", asked))
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda values: "pinned memory" in asked)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda values, stream: asked.append(f"kept for {stream.name}"))
    return asked


SENT = ["on side", "off side", "main waits for side", "kept for main"]


def test_a_copy_goes_on_beside_what_is_computed(log):
    assert devices.sent(torch.arange(3), CPU).tolist() == [0, 1, 2]
    assert log == ["on side", "pin", *SENT[1:]]


def test_pictures_are_stacked_where_they_can_be_copied_from(log):
    pictures = [np.arange(6, dtype=np.float16).reshape(2, 3), np.arange(6, 12, dtype=np.float16).reshape(2, 3)[::-1]]
    found = devices.sent(devices.stacked(pictures, CPU), CPU)
    assert found.dtype == torch.float16
    assert found.tolist() == [[[0, 1, 2], [3, 4, 5]], [[9, 10, 11], [6, 7, 8]]]
    assert log == ["pinned memory", *SENT]


def test_numbers_are_waited_for_when_they_are_read_and_not_before(log):
    fetched = devices.Fetched(torch.tensor([0.5, 2]))
    assert log == ["pinned memory", "event"]
    assert fetched.read() == [0.5, 2]
    assert log[2:] == ["wait for the event"]
