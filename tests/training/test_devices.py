"""What a GPU does otherwise: in which order it is asked for what, with a stand-in that only writes it down.

What a CPU can do too is done on one: channels_last, inference_mode, kernels that are cast once.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model
from labelled import Said, draw
from models import floats, model

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare.darknet.model import load  # noqa: E402
from darkshare.training import caching, devices, trunks  # noqa: E402
from darkshare.training.building import build  # noqa: E402
from darkshare.training.devices import DeviceSettings  # noqa: E402
from darkshare.training.feeding import FeatureFeed, PictureFeed, held  # noqa: E402
from darkshare.training.journal import Journal, Update  # noqa: E402
from darkshare.training.pictures.augmenting import Augmentation  # noqa: E402
from darkshare.training.pictures.loading import Place, Source  # noqa: E402
from darkshare.training.run import Training  # noqa: E402
from darkshare.training.settings import Changes, Options  # noqa: E402
from darkshare.training.stepping import Trainer  # noqa: E402
from darkshare.training.trunks import FrozenTrunk  # noqa: E402

CPU = torch.device("cpu")
FAST = DeviceSettings(CPU, tf32=True, channels_last=True, inference=True, fixed=True)
NET = "channels=3\nbatch=4\nsubdivisions=2\nlearning_rate=0.002\nmax_batches=6"
TEXT = tiny_text().replace("channels=3", NET)
HEAD = "[net]\nwidth=16\nheight=16\nchannels=3\n"
TAIL = (
    "[local]\nfilters=3\nsize=3\nstride=1\nactivation=leaky\n[connected]\noutput=6\nactivation=leaky\n"
    "[convolutional]\nfilters=14\nsize=1\n[region]\nanchors=1,1, 2,2\nnum=2\nclasses=2\n"
)
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\nstride=2\n"
KINDS = {
    "alexeyab": f"{HEAD}{CONV}antialiasing=1\n{CONV}[implicit]\nfilters=4\natoms=1\n[scale_channels]\nfrom=-2\n{TAIL}",
    "pjreddie": f"{HEAD}{CONV}[deconvolutional]\nfilters=3\nsize=2\nstride=2\nactivation=relu\n{TAIL}",
}


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

    class Graph:
        def replay(self) -> None:
            asked.append("replay")

    @contextmanager
    def capturing(graph, capture_error_mode):
        asked.append(f"capture, {capture_error_mode}")
        yield
        asked.append("captured")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
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


def test_a_pass_becomes_a_graph_after_one_beside_it(log):
    given = []

    def run(x):
        log.append("run")
        given.append(x)
        return {7: x + 1}

    replay = devices.captured(run, torch.zeros(2))
    warm = ["side waits for main", "on side", "run", "off side", "main waits for side"]
    assert log == [*warm, "capture, thread_local", "run", "captured"]
    assert given[0] is given[1]
    replay(torch.ones(2))
    assert log[len(warm) + 3 :] == ["replay"]
    assert given[1].tolist() == [1, 1], "what is computed with is not what was given"


def test_what_cannot_be_captured_runs_as_it_is(log, monkeypatch):
    @contextmanager
    def refused(graph, capture_error_mode):
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refused)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: log.append(f"back to {stream.name}"))

    def run(x):
        return {0: x}

    assert devices.captured(run, torch.zeros(1)) is run
    assert log[-1] == "back to main"


def test_a_cpu_captures_nothing_and_has_no_room_for_a_second_copy():
    def run(x):
        return {0: x}

    assert devices.captured(run, torch.zeros(1)) is run
    assert devices.room(CPU) == 0
    assert DeviceSettings.of(CPU, fast=True, fixed=True) == DeviceSettings(CPU)


@pytest.mark.parametrize(("fast", "fixed"), [(True, True), (True, False), (False, True)])
def test_a_recipe_says_whether_a_gpu_may_round_otherwise(log, monkeypatch, fast, fixed):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (1000, 2000))
    found = DeviceSettings.of(CPU, fast=fast, fixed=fixed)
    assert (found.tf32, found.channels_last, found.inference, found.fixed) == (fast, fast, fast, fast and fixed)
    assert (found.precision, "TF32" in found.said) == (("tf32", True) if fast else ("", False))
    assert devices.room(CPU) == 500


def switches():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark


@pytest.mark.parametrize("before", [("highest", False, False), ("highest", True, True), ("high", True, False)])
def test_torch_is_left_as_it_was(before):
    was = switches()
    try:
        devices._switch(*before)
        with DeviceSettings(CPU).on():
            assert switches() == before
        with FAST._replace(fixed=False).on():
            assert switches() == ("high", True, before[2])
        with suppress(KeyError), FAST.on():
            assert switches() == ("high", True, True)
            raise KeyError
        assert switches() == before
    finally:
        devices._switch(*was)


def test_a_trunk_is_captured_when_a_shape_comes_again(monkeypatch):
    caught = []

    def captured(run, x):
        caught.append(tuple(x.shape))
        return run

    monkeypatch.setattr(trunks, "captured", captured)
    trunk = FrozenTrunk(build(model(tiny_text()), 8), FAST, amp=False)
    sizes = [32, 64, 32, 32, 96, 64, 128, 160, 96, 128, 160, 160]
    for side in sizes:
        found = trunk(torch.zeros(1, 3, side, side))
    assert [shape[-1] for shape in caught] == [32, 64, 96, 128], "a graph holds memory, so there are not many"
    assert [*found] == [2, 7]
    FrozenTrunk(trunk.net, FAST._replace(fixed=False), amp=False)(torch.zeros(1, 3, 32, 32))
    assert len(caught) == 4


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("dialect", [*KINDS])
def test_kernels_that_are_cast_once_give_the_same(dialect, amp):
    """Of every kind that autocast casts the kernels of, and of one that it does not."""
    text = KINDS[dialect]
    net = build(model(text, dialect=dialect), text.count("[") - 3)
    x = torch.rand(2, 3, 16, 16)
    own = FrozenTrunk(net, DeviceSettings(CPU), amp=amp)(x)
    cast = FrozenTrunk(net, DeviceSettings(CPU, inference=True), amp=amp)
    for _ in range(2):
        found = cast(x)
        assert [*found] == [*own]
        assert all(torch.equal(found[index], own[index]) for index in own)
    assert {block.dtype for given in net._given.values() for block in given.values()} == {torch.float32}
    assert not any(values.is_inference() for values in found.values()), "gradients could not go through"


def test_numbers_that_are_kept_may_be_differentiated():
    devices.constant.cache_clear()
    with torch.inference_mode():
        kept = devices.constant((0.25, 0.5), CPU)
    assert not kept.is_inference()


def test_means_of_weights_are_moved_together_as_one_by_one():
    trainer = Trainer(build(model(tiny_text()), 4), DeviceSettings(CPU), seed=0, amp=False, ema=0.99)
    wanted = {}
    for number, (name, block) in enumerate(trainer.net.state_dict().items()):
        mean = trainer.mean[name] + torch.randn(block.shape, generator=torch.Generator().manual_seed(number))
        trainer.mean[name].copy_(mean)
        wanted[name] = mean.lerp_(block.detach(), 1 - 3 / 13)
    trainer._follow(3)
    assert all(torch.equal(trainer.mean[name], mean) for name, mean in wanted.items())


@pytest.mark.parametrize("how", [{}, {"amp": True}, {"k": 0}, {"cache_features": 1, "cache_anyway": True}], ids=str)
def test_the_fast_way_learns_the_same(tmp_path, monkeypatch, undrawn, how):
    base = load(write_model(tmp_path / "base", TEXT, seeded_floats(network_of(TEXT), 1)))
    data, found, said = draw(tmp_path, 4), [], Said()
    for name in ("slow", "fast"):
        changes = Changes(batches=3, batch=4, subdivisions=2)
        chosen = {"k": 4, "workers": 0, "threads": 1, "device": "cpu", "validate_every": 0, "changes": changes, **how}
        found.append(Training(base, data, tmp_path / name, Options(**chosen), watch=said).run())
        monkeypatch.setattr(DeviceSettings, "of", lambda device, **how: FAST)
        monkeypatch.setattr("darkshare.training.feeding.room", lambda device: 2**30)
        monkeypatch.setattr("darkshare.training.assembly.is_gpu", lambda device: True)
    slow, fast = found
    tolerance = 2e-3 if how.get("amp") else 1e-4
    np.testing.assert_allclose(floats(fast.model), floats(slow.model), atol=tolerance)
    assert abs(floats(fast.model) - floats(load(tmp_path / "base.cfg"))).max() > 10 * tolerance
    assert [text for text in said.texts if "TF32" in text] == [
        "on the GPU, products of 32-bit numbers are taken in TF32"
    ]
    slow, fast = ((tmp_path / f"{name}.csv").read_text().splitlines() for name in ("slow", "fast"))
    assert fast[0] == f"{slow[0]},precision"
    assert {line.rpartition(",")[2] for line in fast[1:]} == {"tf32"}


def test_a_device_makes_the_same_of_bytes(tmp_path):
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(devices.unit(torch.from_numpy(every)).numpy(), every.astype(np.float32) / np.float32(255))
    network = network_of(TEXT.replace("batch=4", "batch=4\nmixup=1\nhue=.1\nexposure=1.5"))
    own = Source(draw(tmp_path, 5).samples, network, Augmentation.of(network), 3)
    trunk, kinds = FrozenTrunk(build(model(TEXT), 0), DeviceSettings(CPU), amp=False), set()
    whole, packed = (PictureFeed(one, trunk, 6, 2, 9) for one in (own, replace(own, packed=True)))
    for number in (1, 2):
        examples = [[job() for job in feed.jobs(number)] for feed in (whole, packed)]
        kinds |= {example.image.dtype.name for example in examples[1]}
        for a, b in zip(*(feed.parts(own) for feed, own in zip((whole, packed), examples, strict=True)), strict=True):
            assert torch.equal(a.features[-1], b.features[-1])
    assert kinds == {"uint8", "float32"}, "two pictures that are mixed are no bytes any more"


def test_features_on_the_device_are_those_of_the_files(tmp_path, monkeypatch):
    net = build(model(tiny_text()), 8)
    source = Source(draw(tmp_path, 5).samples, net.network, None, 0)
    cache = caching.open_cache(tmp_path / "f", net.network, net.reads, 2, 5, 20)
    caching.fill_caches([caching.Features(cache, {})], net, source, size=(32, 32), batch=2, workers=0)
    monkeypatch.setattr("darkshare.training.feeding._AT_ONCE", 4)
    monkeypatch.setattr("darkshare.training.feeding.room", lambda device: cache.size - 1)
    assert held(cache, CPU) == {}
    monkeypatch.setattr("darkshare.training.feeding.room", lambda device: cache.size)
    feed = FeatureFeed(source, cache, DeviceSettings(CPU), 4, 3, held(cache, CPU))
    for number in (1, 2, 3):
        found, wanted = (list(one.parts([job() for job in one.jobs(number)])) for one in (feed, replace(feed, held={})))
        for a, b in zip(found, wanted, strict=True):
            assert [*a.features] == [*b.features] == [2, 7]
            assert all(torch.equal(a.features[index], b.features[index]) for index in a.features)
            assert all(np.array_equal(x, y) for x, y in zip(a.truths, b.truths, strict=True))
    assert cache.read(Place(3, 1), ()).features == {}


def test_a_journal_goes_on_on_another_device(tmp_path):
    path = tmp_path / "t.csv"
    entry = Update(1, 8, 0.001, 32, 32, 2.0, 2.0, 0.5, None, 0.25, map=0.5)
    Journal(path, precision="tf32").add(entry)
    Journal(path, 1).add(entry._replace(batch=2))
    assert [one.precision for one in Journal(path, 2).entries] == ["tf32", ""]
    assert path.read_text().splitlines()[1:] == [
        "1,8,0.001,32,32,2.0,2.0,0.5,,0.25,0,0.5,tf32",
        "2,8,0.001,32,32,2.0,2.0,0.5,,0.25,0,0.5,",
    ]
    assert [one.map for one in Journal(path, 1, precision="tf32").entries] == [0.5]
