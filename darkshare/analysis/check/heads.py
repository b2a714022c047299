"""Rules for detection heads: what feeds them, their masks and anchors, and several heads side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from darkshare.analysis.check.problem import Problem, ReadSection, Rule, Subject, error, from_error, note, warning
from darkshare.darknet.kinds import Boxes, Convolutional, GaussianYolo, Region, Shape, Yolo
from darkshare.darknet.kinds.base import A, H, P
from darkshare.errors import ShapeMismatch

TWO_REGIONS = (
    "OpenCV 4's own Darknet importer gives the output of each the same name and refuses the cfg (Duplicate blobs); "
    "Darknet, and the ONNX file that `export` writes, run it"
)
STRIDE = 32  # of the deepest head of the default networks


def filters(subject: Subject) -> Iterator[Problem]:
    """The head's own test of its depth, which holds even where an error before leaves sizes unknown."""
    for part, head in _heads(subject):
        before = _feeder(subject, part)
        if before is None:
            continue
        try:
            head.shape(Shape(before.filters, 1, 1), ())
        except ShapeMismatch as found:
            yield from_error(ShapeMismatch(f"layer {part.index}: {found.message}", line=part.section.lineno))


def masks(subject: Subject) -> Iterator[Problem]:
    """A mask names anchors 0..num-1; beyond them Darknet reads outside its array."""
    for part, head in _heads(subject):
        wrong = [i for i in getattr(head, "mask", ()) if not 0 <= i < head.num]
        if wrong:
            yield error(
                part.section.line_of("mask"),
                f"{part.label}: mask {wrong[0]} is not an anchor, num={head.num} allows 0..{head.num - 1}; Darknet "
                "reads outside its array: correct mask= or num=",
            )


def anchors(subject: Subject) -> Iterator[Problem]:
    """2*num values: missing ones stay 0.5, more are ignored or written past the array, depending on the fork."""
    for part, head in _heads(subject):
        needed, given = 2 * head.num, len(head.anchors)
        line = part.section.line_of("anchors")
        if given < needed:
            text = f"{part.label}: {given} values in anchors=, but num={head.num} needs {needed}; "
            yield warning(line, text + "Darknet takes 0.5 for the missing ones: give them all, or correct num=")
        elif given > needed:
            text = f"{part.label}: {given} values in anchors=, but num={head.num} takes {needed}; "
            if _overflows(head, subject.dialect):
                yield error(line, text + f"{subject.dialect} writes the rest past its array: correct one of them")
            else:
                yield warning(line, text + "the rest is ignored (pjreddie writes past its array): correct one of them")


def anchor_units(subject: Subject) -> Iterator[Problem]:
    """Anchors are in cells in [region], in pixels of the input in [yolo]; what was computed for one suits no other."""
    if subject.network is None:
        return
    for layer in subject.network.of_kind(Boxes):
        part, head, sides = subject.layers[layer.index], layer.kind, layer.kind.anchors
        line = part.section.line_of("anchors")
        if isinstance(head, Region) and sides and median(sides) > max(layer.x.w, layer.x.h):
            yield warning(
                line,
                f"{part.label}: most anchors are larger than the picture, which has {layer.x.w}x{layer.x.h} cells; "
                "[region] takes cells, not pixels: divide them by the stride, or run `anchors`",
            )
        elif isinstance(head, Yolo | GaussianYolo) and _in_cells(sides):
            yield warning(
                line,
                f"{part.label}: these anchors seem to be in cells, as [region] takes them; this head takes pixels "
                "of the input: multiply them by the stride, or run `anchors`",
            )


def _in_cells(sides: Sequence[float]) -> bool:
    """Whether these look like sides in cells: fractions, of which some are smaller than two pixels."""
    return any(side % 1 for side in sides) and 0 < min(sides, default=0) < 2 and max(sides) < STRIDE


def _overflows(head: Boxes, dialect: str) -> bool:
    """Whether more anchors than 2*num end in foreign memory (parse_yolo, parse_region of the three forks)."""
    if dialect == A:
        return isinstance(head, GaussianYolo)
    return dialect == P or not isinstance(head, Region)


def class_counts(subject: Subject) -> Iterator[Problem]:
    """Heads with unequal classes: stock Darknet sizes every box's scores by one of them."""
    heads = list(_heads(subject))
    counts = [head.classes for _, head in heads]
    if len(set(counts)) < 2:
        return
    rules, sizing = ("last", counts[-1]) if subject.dialect == P else ("first", counts[0])
    danger = (
        "writes past the end of its score arrays (a heap overflow)"
        if max(counts) > sizing
        else "loses detections and prints the names of the wrong head"
    )
    where = ", ".join(f"{head.classes} in layer {part.index}" for part, head in heads)
    text = (
        f"heads with unequal classes ({where}): {subject.dialect} goes by the {rules} one and {danger}; "
        "give every head the same number, as `concat --layout padded` does"
    )
    odd = next(part for part, head in heads if head.classes != counts[0])
    if subject.merged:
        yield warning(
            odd.section.line_of("classes"), text + "; darkshare itself reads the .tasks.json and is not affected"
        )
    else:
        yield error(odd.section.line_of("classes"), text)


def shared_settings(subject: Subject) -> Iterator[Problem]:
    """Settings of the last head that Darknet applies to the boxes of all (detector.c)."""
    keys = {"max": "labels per image", "nms_kind": "suppression", "beta_nms": "suppression"}
    for key, what in keys.items():
        heads = [(part, getattr(head, key)) for part, head in _heads(subject) if hasattr(head, key)]
        odd = [(part, value) for part, value in heads if value != heads[-1][1]]
        if odd and (key == "max" or subject.dialect != P):
            part, value = odd[0]
            yield warning(
                part.section.line_of(key),
                f"{part.label} has {key}={value}, the last head {heads[-1][1]}: Darknet takes the last head's "
                f"for the {what} of all; give every head the same",
            )


def mixed_gaussian(subject: Subject) -> Iterator[Problem]:
    """Uncertainties are allocated by the first head (make_network_boxes in network.c)."""
    heads = list(_heads(subject))
    for part, head in heads[1:]:
        if isinstance(head, GaussianYolo) and not isinstance(heads[0][1], GaussianYolo):
            yield warning(
                part.section.lineno,
                f"{part.label} behind another kind of first head: Darknet has no room for its uncertainties and "
                "crashes at detection; put the [Gaussian_yolo] heads first",
            )
            return


def regions(subject: Subject) -> Iterator[Problem]:
    """OpenCV 4's importer calls the output of every [region] alike."""
    heads = [part for part, head in _heads(subject) if isinstance(head, Region)]
    for part in heads[1:]:
        yield note(part.section.lineno, f"{part.label} is the second [region] of this network: {TWO_REGIONS}")
        return


def activations(subject: Subject) -> Iterator[Problem]:
    """[yolo] applies the sigmoid itself, but not with new_coords=1 (forward_yolo_layer)."""
    for part, head in _heads(subject):
        before = _feeder(subject, part)
        if before is None or not isinstance(head, Yolo) or isinstance(head, GaussianYolo):
            continue
        wanted = "logistic" if head.new_coords else "linear"
        if before.activation != wanted:
            section = subject.layers[part.index - 1].section
            yield warning(
                section.line_of("activation"),
                f"layer {part.index - 1} [convolutional] has activation={before.activation[:40]}, but a [yolo] with "
                f"new_coords={head.new_coords} reads {wanted} values; set activation={wanted}",
            )


def input_size(subject: Subject) -> Iterator[Problem]:
    """Darknet's own test of width and height where the last layer is a head."""
    last = subject.layers[-1]
    net, names = subject.net, ("yolo", "region", "detection") if subject.dialect == A else ("yolo", "region")
    if subject.dialect == P or last.section.kind not in names or not (net.width % STRIDE or net.height % STRIDE):
        return
    severity = error if subject.dialect == H else warning
    does = "refuses it" if subject.dialect == H else "warns of it"
    yield severity(
        subject.parts[0].section.line_of("width" if net.width % STRIDE else "height"),
        f"width={net.width} and height={net.height} are not both multiples of {STRIDE}, and {subject.dialect} {does}; "
        f"use {_nearest(net.width)} and {_nearest(net.height)}",
    )


def _nearest(length: int) -> int:
    return max(STRIDE, round(length / STRIDE) * STRIDE)


def _heads(subject: Subject) -> Iterator[tuple[ReadSection, Boxes]]:
    return ((part, part.kind) for part in subject.layers if isinstance(part.kind, Boxes))


def _feeder(subject: Subject, part: ReadSection) -> Convolutional | None:
    """The convolution right before a head, if there is one."""
    before = subject.layers[part.index - 1].kind if part.index else None
    return before if isinstance(before, Convolutional) else None


RULES: tuple[Rule, ...] = (
    filters,
    masks,
    anchors,
    anchor_units,
    class_counts,
    shared_settings,
    mixed_gaussian,
    regions,
    activations,
    input_size,
)
