"""Rules for how layers fit together and what the forks do where they do not."""

from __future__ import annotations

from collections.abc import Iterator

from darkshare.analysis.check.problem import Problem, Rule, Subject, error, from_error, note, warning
from darkshare.darknet.activations import NORMALISING
from darkshare.darknet.kinds import (
    Activation,
    Connected,
    Contrastive,
    ConvLstm,
    Convolutional,
    Cost,
    Crnn,
    Detection,
    Gru,
    Implicit,
    Kind,
    Local,
    Lstm,
    Rnn,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Yolo,
)
from darkshare.darknet.kinds.base import ONE_SIDED, A, H, P
from darkshare.darknet.kinds.reading import references_of
from darkshare.darknet.network import Layer, Network, require_earlier
from darkshare.errors import BadReference

_PLAIN = (Activation, Connected, Local, Sam, ScaleChannels)  # their activations have no other input than one value
_LATER = ("hard_mish", *NORMALISING)
_SIZELESS = (Connected, Implicit, Cost, Rnn, Gru, Lstm)  # of which Darknet notes no width and height


def references(subject: Subject) -> Iterator[Problem]:
    """Every index that names no earlier layer (a resolver stops at a section's first one)."""
    for part in subject.layers if subject.network is None else ():
        if not isinstance(part.kind, Kind):
            continue
        for name, declared in references_of(type(part.kind)).items():
            numbers = getattr(part.kind, declared.field)
            line = part.section.line_of(name) if numbers else 0
            for written in numbers:
                target = part.index + written if written < 0 else written
                try:
                    require_earlier(part.kind, part.index, target, len(subject.layers), line)
                except BadReference as found:
                    yield from_error(found)


def groups(subject: Subject) -> Iterator[Problem]:
    """groups= must divide the channels: Darknet's integer division leaves the rest out."""
    for layer in subject.network.of_kind(Convolutional) if subject.network else ():
        if undivided := layer.kind.undivided(layer.x):
            yield error(layer.section.line_of("groups"), f"{layer.label}: {undivided}")
    for recurrent in subject.network.layers if subject.network else ():
        kind = recurrent.kind
        if not isinstance(kind, Crnn | ConvLstm) or kind.xnor:
            continue
        channels = [recurrent.x.c, *([kind.hidden] if isinstance(kind, Crnn) else []), kind.output]
        if any(c % kind.groups for c in channels):
            yield error(
                recurrent.section.line_of("groups"),
                f"{recurrent.label}: groups={kind.groups} does not divide all of its channels "
                f"({', '.join(map(str, channels))}), so Darknet leaves some of them out; choose a divisor of all",
            )


def route_groups(subject: Subject) -> Iterator[Problem]:
    """A route takes group_id of each source (forward_route_layer), so groups= must divide each of them."""
    if subject.network is None:
        return
    for layer in subject.network.of_kind(Route):
        kind = layer.kind
        odd = [i for i in layer.sources if subject.network.layers[i].y.c % kind.groups]
        if odd:
            yield warning(
                layer.section.line_of("groups"),
                f"{layer.label}: groups={kind.groups} does not divide the {subject.network.layers[odd[0]].y.c} "
                f"channels of layer {odd[0]}, so it cuts through a channel; choose a divisor",
            )


def shortcut_size(subject: Subject) -> Iterator[Problem]:
    """AlexeyAB asserts equal width and height (parse_shortcut in parser.c); the others add what is in memory there."""
    for layer, source in _added(subject):
        if (layer.x.w, layer.x.h) == (source.y.w, source.y.h):
            continue
        text = f"{layer.label} adds {source.y} of layer {source.index} to {layer.x}: width and height differ"
        if subject.dialect == A:
            yield error(layer.section.line_of("from"), f"{text}, at which AlexeyAB aborts; add a layer of equal size")
        else:
            yield note(layer.section.line_of("from"), f"{text}, at which AlexeyAB aborts; {subject.dialect} accepts it")


def shortcut_channels(subject: Subject) -> Iterator[Problem]:
    """Unequal channels: the smaller number of them is added."""
    for layer, source in _added(subject):
        if layer.x.c != source.y.c and (layer.x.w, layer.x.h) == (source.y.w, source.y.h):
            yield note(
                layer.section.line_of("from"),
                f"{layer.label} adds {source.y.c} channels of layer {source.index} to {layer.x.c}: Darknet adds the "
                f"first {min(layer.x.c, source.y.c)} and leaves the rest as it is; other engines may refuse it",
            )


def shortcut_weights(subject: Subject) -> Iterator[Problem]:
    """weights_type without weights_normalization (parse_shortcut in parser.c)."""
    for part in subject.layers:
        kind = part.kind
        if not isinstance(kind, Shortcut) or kind.weights_type == "none" or subject.dialect == P:
            continue
        if kind.weights_normalization not in ("relu", "avg_relu", "softmax"):
            fatal = subject.dialect == A
            yield (error if fatal else note)(
                part.section.line_of("weights_type"),
                f"{part.label}: weights_type={kind.weights_type} needs weights_normalization=relu or softmax, without "
                f"which AlexeyAB exits{'' if fatal else ' (hank-ai accepts it)'}; add it",
            )


def aborting(subject: Subject) -> Iterator[Problem]:
    """Asserts of softmax_layer.c and crnn_layer.c, which Release builds leave out, and parse_contrastive's pointer."""
    if subject.network is None:
        return
    for layer in subject.network.layers:
        kind, key, text = layer.kind, "", ""
        if isinstance(kind, Softmax) and layer.x.size % kind.groups:
            key, text = "groups", f"groups={kind.groups} does not divide its {layer.x.size} inputs; choose a divisor"
        if isinstance(kind, Crnn) and subject.dialect != P and layer.y[1:3] != layer.x[1:3]:
            key, text = "pad", f"it makes {layer.y} of {layer.x}, but must keep the size; set pad=1 and stride=1"
        named = [type(subject.network.layers[i].kind) for i in layer.sources]
        if isinstance(kind, Contrastive) and named != [Yolo]:
            key, text = "yolo_layer", "yolo_layer= does not name a [yolo] layer; correct it"
        if text:
            fork = "hank-ai may abort, and AlexeyAB does" if subject.dialect == H else "Darknet aborts"
            yield error(layer.section.line_of(key), f"{layer.label}: {fork}: {text}")


def no_image(subject: Subject) -> Iterator[Problem]:
    """AlexeyAB and hank-ai divide by the number of layers on images larger than 1x1 (avg_counter in parser.c)."""
    if subject.network is not None and subject.dialect != P and not any(_counted(subject.network)):
        yield error(
            subject.parts[0].section.lineno,
            f"no layer works on an image larger than 1x1, and {subject.dialect} divides by their number at loading and "
            "crashes ([connected], [implicit], [cost] and recurrent layers count for none); use --dialect pjreddie and "
            "its Darknet for such a network",
        )


def _counted(network: Network) -> Iterator[bool]:
    """Whether Darknet notes a width and a height above 1 for each layer: mostly those of the image that it reads."""
    found: list[bool] = []
    for layer in network.layers:
        kind = layer.kind
        if isinstance(kind, Detection):
            found.append(kind.side > 1)
        elif isinstance(kind, Route):  # those that the first of its layers notes
            found.append(found[layer.sources[0]])
        else:
            found.append(not isinstance(kind, _SIZELESS) and layer.x.w > 1 and layer.x.h > 1)
        yield found[-1]


def turned_image(subject: Subject) -> Iterator[Problem]:
    """Pjreddie's parse_crnn hands width and height to make_crnn_layer the wrong way round."""
    if subject.network is None or subject.dialect != P:
        return
    for layer in subject.network.of_kind(Crnn):
        if layer.x.w != layer.x.h:
            yield error(
                layer.section.lineno,
                f"{layer.label} reads {layer.x}, but pjreddie takes the width for the height: it works on rows of "
                f"{layer.x.h} values and gives {layer.y}; make width and height equal",
            )


def kernel_of_one(subject: Subject) -> Iterator[Problem]:
    """Without cuDNN the image itself stands for its windows (forward_convolutional_layer), whatever else is asked."""
    for part in subject.layers:
        kind = part.kind
        if not isinstance(kind, Convolutional) or kind.size > 1 or subject.dialect == H:
            continue
        across, down = kind.strides
        if (kind.pads or (across, down) != (1, 1)) and (across == 1 or subject.dialect == P):
            yield note(
                part.section.lineno,
                f"{part.label}: with size=1, {subject.dialect} passes over padding= and strides like these without "
                "cuDNN, on CPUs say, and computes something else; with cuDNN, and in exported files, they count",
            )


def wrong_activations(subject: Subject) -> Iterator[Problem]:
    """Names that AlexeyAB knows in some kinds of layers only (activate in activations.c, activate_kernel on GPUs)."""
    for part in subject.layers if subject.dialect == A else ():
        name, number = getattr(part.kind, "activation", ""), part.section.line_of("activation")
        if name == "relu6":
            yield note(number, f"{part.label}: AlexeyAB's code for CPUs gives 0 for relu6; that for GPUs is right")
        elif isinstance(part.kind, _PLAIN) and name in (*_LATER, "swish", "mish"):
            yield error(
                number,
                f"{part.label}: AlexeyAB gives 0 for activation={name} in such a layer; it knows it in "
                f"[convolutional]{'' if name in _LATER else ' and [shortcut]'} only, which may have size=1",
            )
        elif isinstance(part.kind, Shortcut) and name in _LATER:
            yield error(number, f"{part.label}: AlexeyAB gives 0 for activation={name}, but not in [convolutional]")


def nothing_before(subject: Subject) -> Iterator[Problem]:
    """[dropout] and [empty] pass on the buffer of the layer before, so they cannot be the first."""
    first = subject.layers[0]
    if isinstance(first.kind, Kind) and first.kind.in_place:
        yield error(first.section.lineno, f"{first.label} has no layer before it, and Darknet crashes; remove it")


def one_deformation(subject: Subject) -> Iterator[Problem]:
    """parse_convolutional exits at several of sway, rotate and stretch, and at one of them with size=1."""
    for part in subject.layers:
        kind = part.kind
        if not isinstance(kind, Convolutional) or subject.dialect == P:
            continue
        keys = [key for key in ("sway", "rotate", "stretch", "stretch_sway") if getattr(kind, key)]
        if len(keys) > 1 or (keys and kind.size == 1):
            yield error(
                part.section.line_of(keys[0]),
                f"{part.label}: {' and '.join(keys)} with size={kind.size}: Darknet takes one of sway, rotate and "
                "stretch, with a size of 3 or more; remove the others",
            )


def read_and_written(subject: Subject) -> Iterator[Problem]:
    """Keys with which Darknet's loader and writer disagree on what the file holds."""
    for part in subject.layers:
        for key in ONE_SIDED:
            if getattr(part.kind, key, 0):
                yield warning(
                    part.section.line_of(key),
                    f"{part.label}: {key}={getattr(part.kind, key)} changes what is read or what is written, not both: "
                    "a file that Darknet saves with this cfg cannot be loaded with it; remove the key to load one",
                )


def _added(subject: Subject) -> Iterator[tuple[Layer, Layer]]:
    """(shortcut, the layer that it adds)."""
    if subject.network is None:
        return
    for layer in subject.network.of_kind(Shortcut):
        yield from ((layer, subject.network.layers[i]) for i in layer.sources)


RULES: tuple[Rule, ...] = (
    references,
    groups,
    route_groups,
    shortcut_size,
    shortcut_channels,
    shortcut_weights,
    aborting,
    no_image,
    turned_image,
    kernel_of_one,
    wrong_activations,
    nothing_before,
    one_deformation,
    read_and_written,
)
