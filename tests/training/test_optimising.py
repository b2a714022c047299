"""Learning rates by hand, and what an update does, against Darknet's formulas."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import network_of, tiny_text
from onnxruns import model_of

from darkshare.darknet.kinds import Net as Options
from darkshare.errors import BadValue, Unsupported
from darkshare.training.building import build
from darkshare.training.optimising import POLICIES, Schedule, batch_size, optimiser, set_rate

STEPS = {"policy": "steps", "steps": (100, 200), "scales": (0.1, 0.5), "learning_rate": 0.01}


def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed; it is in the extra `train`")


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, {1: 0.001, 10**6: 0.001}),
        (STEPS, {1: 0.01, 99: 0.01, 100: 0.001, 199: 0.001, 200: 0.0005, 10**6: 0.0005}),
        ({**STEPS, "burn_in": 4}, {1: 0.01 / 256, 2: 0.01 / 16, 3: 0.01 * (3 / 4) ** 4, 4: 0.01}),
        ({**STEPS, "burn_in": 4, "power": 1.0}, {1: 0.0025, 3: 0.0075, 100: 0.001}),
        ({"policy": "step", "step": 10, "scale": 0.5}, {9: 0.001, 10: 0.0005, 25: 0.00025}),
        ({"policy": "exp", "gamma": 0.9}, {1: 0.0009, 2: 0.00081}),
        ({"policy": "poly", "max_batches": 100}, {50: 0.001 / 16, 100: 0.0, 200: 0.0}),
        ({"policy": "sigmoid", "gamma": 0.1, "step": 20}, {20: 0.0005, 30: 0.001 / (1 + math.e)}),
        ({"policy": "sgdr", "sgdr_cycle": 10}, {5: 0.000505, 10: 0.00001, 20: 0.000505, 30: 0.00001, 50: 0.000505}),
        ({"policy": "sgdr", "max_batches": 20}, {10: 0.000505, 20: 0.00001}),
    ],
)
def test_rates_by_hand(options, rates):
    schedule = Schedule.of(Options(**options))
    assert {number: schedule.rate(number) for number in rates} == pytest.approx(rates)


def test_a_random_rate_is_the_same_when_training_goes_on():
    schedule = Schedule.of(Options(policy="random", power=2.0))
    rates = [schedule.rate(n) for n in range(1, 200)]
    assert rates == [schedule.rate(n) for n in range(1, 200)]
    assert 0.0002 < np.mean(rates) < 0.0005  # the mean of a squared random number is 1/3
    assert all(0 <= rate < 0.001 for rate in rates)


def test_all_policies_of_darknet():
    assert POLICIES.keys() == {"constant", "step", "steps", "exp", "poly", "random", "sigmoid", "sgdr"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"policy": "cosine"}, BadValue, "policy=cosine: use one of constant"),
        ({"policy": "steps"}, BadValue, "needs steps= and as many scales="),
        ({"policy": "steps", "steps": (1, 2), "scales": (0.1,)}, BadValue, "as many scales="),
        ({"policy": "poly"}, BadValue, "max_batches="),
        ({"adversarial_lr": 1.0}, Unsupported, "adversarial_lr="),
        ({"badlabels_rejection_percentage": 0.2}, Unsupported, "badlabels_rejection_percentage="),
        ({"time_steps": 3}, Unsupported, "time_steps="),
    ],
)
def test_schedules_that_cannot_be_kept(options, error, message):
    with pytest.raises(error, match=message):
        Schedule.of(Options(**options))


def test_a_cycle_needs_a_length():
    with pytest.raises(BadValue, match="sgdr_cycle="):
        Schedule.of(Options(policy="sgdr")).rate(1)


def test_a_batch_is_whole_subdivisions():
    assert batch_size(Options(batch=64, subdivisions=16)) == 64
    assert batch_size(Options(batch=10, subdivisions=4)) == 8
    with pytest.raises(BadValue, match="no picture for a mini-batch"):
        batch_size(Options(batch=2, subdivisions=4))


def trained_by(options: str, gradients: list[float], rate: float, batch: int) -> tuple[dict, dict]:
    """The blocks of one layer before and after updates by constant summed gradients."""
    text = tiny_text().replace("[net]", f"[net]\nbatch={batch}\n{options}", 1)
    made = build(model_of(text), 8)
    blocks = made.state_dict()
    before = {name: block.detach().numpy().copy() for name, block in blocks.items()}
    update = optimiser(made, network_of(text).net)
    for gradient in gradients:
        for block in made.parameters():
            block.grad = torch().full_like(block, gradient / batch)
        set_rate(update, rate)
        update.step()
    return before, {name: block.detach().numpy() for name, block in blocks.items()}


def test_momentum_and_decay_as_update_convolutional_layer_has_them():
    torch()
    gradients, rate, batch, decay, momentum = [3.0, -1.0, 2.0], 0.1, 4, 0.01, 0.8
    before, after = trained_by(f"decay={decay}\nmomentum={momentum}\n", gradients, rate, batch)
    for name, decays in (("8.weights", True), ("8.biases", False), ("8.scales", False), ("11.biases", False)):
        w, updates = before[name].astype(np.float64), 0.0
        for gradient in gradients:  # axpy_cpu, axpy_cpu, scal_cpu
            updates = updates - gradient - (decay * batch * w if decays else 0)
            w = w + rate / batch * updates
            updates = updates * momentum
        np.testing.assert_allclose(after[name], w, rtol=1e-5, atol=1e-6)


def test_adam_as_adam_update_gpu_has_it():
    torch()
    gradients, rate, batch, decay = [3.0, -1.0, 2.0], 0.01, 4, 0.05
    before, after = trained_by(f"adam=1\ndecay={decay}\nB1=0.8\nB2=0.9\neps=0.1\n", gradients, rate, batch)
    for name in ("8.weights", "8.biases", "8.scales"):  # all of them decay
        w, m, v = before[name].astype(np.float64), 0.0, 0.0
        for t, gradient in enumerate(gradients, 1):
            d = -gradient - decay * batch * w
            m, v = 0.8 * m + 0.2 * d, 0.9 * v + 0.1 * d * d
            w = w + rate * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 0.1)
        np.testing.assert_allclose(after[name], w, rtol=1e-5, atol=1e-6)


def test_a_layer_has_its_own_rate():
    torch()
    text = tiny_text().replace("filters=4\n", "filters=4\nlearning_rate=0.25\n", 1)
    made = build(model_of(text), 8)
    update = optimiser(made, network_of(text).net)
    set_rate(update, 0.4)
    assert sorted({group["lr"] for group in update.param_groups}) == [0.1, 0.4]


@pytest.mark.parametrize(("dialect", "eps"), [("alexeyab", 1e-6), ("pjreddie", 1e-7)])
def test_the_forks_have_two_defaults_of_eps(dialect, eps):
    torch()
    text = tiny_text().replace("[net]", "[net]\nadam=1\nbatch=8", 1)
    update = optimiser(build(model_of(text), 8), network_of(text).net, dialect)
    assert update.defaults["eps"] == pytest.approx(eps / 8)


UPDATE = """
import sys
import numpy as np
import torch
from onnxruns import model_of
from conftest import tiny_text
from darkshare.training.building import build
from darkshare.training.devices import DeviceSettings
from darkshare.training.stepping import MiniBatch, Trainer
made = build(model_of(tiny_text().replace("[net]", "[net]\\nbatch=2\\nadam={adam}", 1)), 8)
trainer = Trainer(made, DeviceSettings(torch.device("cpu")), seed=0, amp=False, ema=0.9, clip=10.0)
size = made.network.input
pictures = torch.ones(2, 3, size.h, size.w)
trainer.launch(1, [MiniBatch(trainer.trunk(pictures), [np.zeros((0, 5), np.float32)] * 2)])
trainer.restore(trainer.state())
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


@pytest.mark.slow
@pytest.mark.parametrize("adam", [0, 1])
def test_an_update_does_without_the_compiler_of_torch(adam):
    """It takes as long to import as torch itself; and sympy, for symbolic shapes, a third of that."""
    torch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = UPDATE.replace("{adam}", str(adam))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
