"""Rules for training: freezing that does not freeze, schedules that crash, settings that act on more than meant.

What the forks do was measured on CPU builds and read in their sources for GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator

from darkshare.analysis.check.problem import Problem, ReadSection, Rule, Subject, error, note, warning
from darkshare.darknet.kinds import Kind, Shortcut
from darkshare.darknet.kinds.base import A, H, P


def half_frozen(subject: Subject) -> Iterator[Problem]:
    """With stopbackward the layers before are frozen; its own layer is not, and decay updates it."""
    for part, value in _stops(subject):
        if subject.dialect != P and (value == 1 or subject.dialect == H) and _has_weights(subject, part):
            yield warning(
                part.section.line_of("stopbackward"),
                f"{part.label} has weights and stopbackward={value}: it gets no gradient, yet weight decay and batch "
                f"norm still change it; put stopbackward=1 on a [route] with layers=-1 before it instead",
            )


def other_stops(subject: Subject) -> Iterator[Problem]:
    """Only the value 1 freezes in AlexeyAB; any value but 0 in hank-ai; none in pjreddie."""
    for part, value in _stops(subject):
        line = part.section.line_of("stopbackward")
        if subject.dialect == P:
            yield warning(
                line,
                f"{part.label}: stopbackward={value} does not freeze in pjreddie's Darknet: weight decay changes "
                "the layers before and their batch norm statistics drift; put their weights back after training",
            )
        elif value != 1 and subject.dialect == A:
            yield warning(
                line,
                f"{part.label}: stopbackward={value} stops gradients up to iteration {value} only, and weight "
                "decay and batch norm statistics change the layers before all along; use 1 to freeze them",
            )
        elif value != 1:
            yield warning(
                line,
                f"{part.label}: hank-ai freezes the layers before for the whole run with any stopbackward but 0, "
                f"so {value} is not an iteration; use 1 to say so",
            )


def frozen_norm(subject: Subject) -> Iterator[Problem]:
    """AlexeyAB's CPU training crashes with batch norm below stopbackward=1; hank-ai trains on GPUs only."""
    last = _last_stop(subject)
    norms = [p for p in subject.layers[: max(last, 0)] if getattr(p.kind, "norm", False)]
    if subject.dialect == A and norms:
        part = subject.layers[last]
        yield note(
            part.section.line_of("stopbackward"),
            f"{part.label}: with stopbackward=1 above batch_normalize, AlexeyAB crashes when it trains on a CPU; "
            "train on a GPU",
        )


def shortcut_into_frozen(subject: Subject) -> Iterator[Problem]:
    """A trained shortcut keeps a pointer to its source's gradient, which frozen layers do not have."""
    last = _last_stop(subject)
    for part in subject.layers[last + 1 :] if subject.dialect == A and last >= 0 else ():  # its own backward is not run
        if not isinstance(part.kind, Shortcut):
            continue
        frozen = [t for n in part.kind.from_ if 0 <= (t := part.index + n if n < 0 else n) < last]
        if frozen:
            yield warning(
                part.section.line_of("from"),
                f"{part.label} adds layer {frozen[0]}, which stopbackward=1 in layer {last} freezes: AlexeyAB crashes "
                "when it trains this; let from= name a [route] to that layer behind the frozen ones",
            )


def frozen_by_rate(subject: Subject) -> Iterator[Problem]:
    """learning_rate=0 keeps the weights, but batch norm statistics go on moving, unless stopbackward=1 is above."""
    frozen = max(_last_stop(subject), 0) if subject.dialect != P else 0
    parts = [part for part in _with_norm(subject) if isinstance(part.kind, Kind) and part.kind.learning_rate == 0]
    parts = [part for part in parts if part.index >= frozen]
    if parts:
        yield warning(
            parts[0].section.line_of("learning_rate"),
            f"learning_rate=0 in {len(parts)} layers with batch norm, first in {parts[0].label}: their weights stay, "
            "but their rolling means and variances drift, so they do not stay the same; put them back after training",
        )


def only_batch_norm(subject: Subject) -> Iterator[Problem]:
    """train_only_bn spreads to all layers before (set_train_only_bn in parser.c)."""
    parts = [part for part in subject.layers if getattr(part.kind, "train_only_bn", 0)]
    if parts and subject.dialect != P:
        last = parts[-1]
        yield note(
            last.section.line_of("train_only_bn"),
            f"{last.label}: train_only_bn acts on this layer and all {last.index} before it, and on GPUs only",
        )


def gpu_only(subject: Subject) -> Iterator[Problem]:
    """dont_update and burnin_update are in the GPU code alone."""
    for key in ("dont_update", "burnin_update"):
        parts = [part for part in subject.layers if getattr(part.kind, key, 0)]
        if parts and subject.dialect == A:
            line = parts[0].section.line_of(key)
            yield note(line, f"{key} in {len(parts)} layers, first in {parts[0].label}: training on a CPU ignores it")


def batches(subject: Subject) -> Iterator[Problem]:
    """batch= is divided by subdivisions= (parse_net_options)."""
    net, section = subject.net, subject.parts[0].section
    if net.subdivisions == 0:
        yield error(section.line_of("subdivisions"), "subdivisions=0: Darknet divides by it and crashes; use 1 or more")
    elif net.batch % net.subdivisions:
        yield warning(
            section.line_of("batch"),
            f"batch={net.batch} is not a multiple of subdivisions={net.subdivisions}, so Darknet trains on "
            f"{max(net.batch // net.subdivisions, 1)} images at a time; choose a multiple",
        )
    if section.get("batch") == "1" and subject.dialect == A:
        yield note(
            section.line_of("batch"), "batch=1 is for detection: AlexeyAB refuses to train with it; use 64 to train"
        )


def schedule(subject: Subject) -> Iterator[Problem]:
    """Each of steps= needs one of scales=; a shorter list is read behind its end (parse_net_options)."""
    net, section = subject.net, subject.parts[0].section
    if net.policy != "steps" and not (net.policy == "sgdr" and net.steps and net.scales):
        return
    steps, scales = len(net.steps), len(net.scales)
    if not steps or not scales:
        missing = "steps" if not steps else "scales"
        yield error(section.line_of("policy"), f"policy=steps needs {missing}=, without which Darknet exits; add it")
    elif scales < steps:
        fatal = subject.dialect != H
        does = (
            "reads behind the list and crashes" if fatal else "multiplies by 0 at the others, so training stops there"
        )
        yield (error if fatal else warning)(
            section.line_of("scales"), f"{scales} scales= for {steps} steps=: Darknet {does}; give one per step"
        )
    elif scales > steps:
        line = section.line_of("scales")
        yield warning(line, f"{scales} scales= for {steps} steps=: the rest is ignored; give one per step")
    yield from _odd_steps(subject)


def _odd_steps(subject: Subject) -> Iterator[Problem]:
    """Darknet goes through steps= up to the first one that is not reached yet (get_current_rate)."""
    net, line = subject.net, subject.parts[0].section.line_of("steps")
    if list(net.steps) != sorted(net.steps):
        yield warning(
            line, "steps= do not ascend: one that is smaller than the one before it acts with that one; sort them"
        )
    if subject.dialect == P and any(step < 0 for step in net.steps):
        yield warning(
            line, f"steps={min(net.steps)} is never reached in pjreddie's Darknet, nor any behind it; use 0 or more"
        )
    if net.steps and 0 < net.max_batches <= max(net.steps):
        last = max(net.steps)
        advice = ",".join(str(net.max_batches * share // 100) for share in (80, 90))
        yield warning(line, f"steps={last} is never reached, since max_batches={net.max_batches}; usual are {advice}")


def warming_up(subject: Subject) -> Iterator[Problem]:
    """burn_in= lets the rate rise to learning_rate= first (get_current_rate)."""
    net = subject.net
    if 0 < net.max_batches <= net.burn_in:
        yield warning(
            subject.parts[0].section.line_of("burn_in"),
            f"burn_in={net.burn_in} is not over when training ends at max_batches={net.max_batches}: learning_rate is "
            "never reached; use a tenth of max_batches or less",
        )


def _stops(subject: Subject) -> Iterator[tuple[ReadSection, int]]:
    pairs = ((part, getattr(part.kind, "stopbackward", 0)) for part in subject.layers)
    return ((part, value) for part, value in pairs if value)


def _last_stop(subject: Subject) -> int:
    """The layer below which AlexeyAB freezes everything, or -1."""
    return max((part.index for part, value in _stops(subject) if value == 1), default=-1)


def _has_weights(subject: Subject, part: ReadSection) -> bool:
    return subject.network is not None and bool(subject.network.layers[part.index].tensors)


def _with_norm(subject: Subject) -> Iterator[ReadSection]:
    return (part for part in subject.layers if getattr(part.kind, "batch_normalize", 0))


RULES: tuple[Rule, ...] = (
    half_frozen,
    other_stops,
    frozen_norm,
    shortcut_into_frozen,
    frozen_by_rate,
    only_batch_norm,
    gpu_only,
    batches,
    schedule,
    warming_up,
)
