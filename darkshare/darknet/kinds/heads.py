"""Kinds at the end of a network: detection heads, classifiers and losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import (
    DIALECTS,
    MOST,
    A,
    H,
    Kind,
    P,
    Refs,
    Shape,
    key,
    one_class_per_value,
    trained,
)
from darkshare.errors import BadValue, ShapeMismatch

AH, AP = (A, H), (A, P)
FLOAT_MAX = 3.4028234663852886e38


@dataclass(init=False, repr=False, eq=False)
class Boxes(Kind):
    """Base of anchor-box heads: one box per place and anchor, `entries` values before the classes."""

    needs_image: ClassVar[bool] = True
    is_head: ClassVar[bool] = True
    gives_boxes: ClassVar[bool] = True
    entries: ClassVar[int] = 5  # x, y, w, h, objectness

    classes: int = key(20, low=1, high=MOST)
    num: int = key(1, low=1, high=MOST)
    anchors: tuple[float, ...] = key(())
    max: int = trained(200)
    map: str = trained("")
    jitter: float = trained(0.2)
    resize: float = trained(1.0, forks=AH)
    random: float = trained(0.0)

    @property
    def boxes(self) -> int:
        """Anchors that this head uses."""
        return self.num

    @property
    def values(self) -> int:
        """Values per box."""
        return self.entries + self.classes

    @property
    def depth(self) -> int:
        """The channels that the layer before must have."""
        return self.boxes * self.values

    def anchor_sizes(self) -> list[tuple[float, float]]:
        """List (width, height) of each used anchor, as written; missing ones are 0.5 in Darknet.

        Raises:
            BadValue: a mask that is not an anchor, for which Darknet reads behind its array.
        """
        wrong = [i for i in self.anchor_ids() if not 0 <= i < self.num]
        if wrong:
            raise BadValue(
                f"mask {wrong[0]} is not an anchor: num={self.num} allows 0..{self.num - 1}; correct num= or mask="
            )
        flat = [*self.anchors, *[0.5] * (2 * self.num - len(self.anchors))]
        return [(flat[2 * i], flat[2 * i + 1]) for i in self.anchor_ids()]

    def anchor_ids(self) -> Sequence[int]:
        return range(self.num)

    def class_count(self, y: Shape) -> int:
        return self.classes

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if x.c != self.depth:
            raise ShapeMismatch(
                f"[{self.name}] with {self.boxes} masks and {self.classes} classes reads "
                f"{self.boxes}*({self.classes}+{self.entries})={self.depth} channels, but gets {x.c}; "
                f"set filters={self.depth} in the layer before, or correct classes= and mask="
            )
        return x


@dataclass(init=False, repr=False, eq=False)
class Yolo(Boxes):
    """YOLOv3 head (parse_yolo, make_yolo_layer); anchors in pixels of the network's input."""

    names: ClassVar[tuple[str, ...]] = ("yolo",)

    mask: tuple[int, ...] = key((), hash_ends=(A,))
    anchors: tuple[float, ...] = key((), hash_ends=(A,))
    scale_x_y: float = key(1.0, forks=AH)
    new_coords: int = key(0, forks=AH)
    nms_kind: str = key("default", forks=AH)
    beta_nms: float = key(0.6, forks=AH)
    embedding_layer: Refs = key((), forks=AH, derived=True, none=999999, reads=False, first_only=DIALECTS)
    ignore_thresh: float = trained(0.5)
    truth_thresh: float = trained(1.0)
    iou_thresh: float = trained(1.0, forks=AH)
    iou_loss: str = trained("mse", forks=AH)
    iou_thresh_kind: str = trained("iou", forks=AH)
    iou_normalizer: float = trained(0.75, forks=AH)
    obj_normalizer: float = trained(1.0, forks=AH)
    cls_normalizer: float = trained(1.0, forks=AH)
    delta_normalizer: float = trained(1.0, forks=AH)
    max_delta: float = trained(FLOAT_MAX, forks=AH)
    label_smooth_eps: float = trained(0.0, forks=AH)
    objectness_smooth: int = trained(0, forks=AH)
    counters_per_class: tuple[int, ...] = key((), forks=AH, training=True, hash_ends=(A,))
    focal_loss: int = trained(0, forks=AH)
    show_details: int = trained(1, forks=(A,))
    track_history_size: int = trained(5, forks=AH)
    sim_thresh: float = trained(0.8, forks=AH)
    dets_for_track: int = trained(1, forks=AH)
    dets_for_show: int = trained(1, forks=AH)
    track_ciou_norm: float = trained(0.01, forks=AH)

    @property
    def boxes(self) -> int:
        return len(self.mask) or self.num

    def anchor_ids(self) -> Sequence[int]:
        return self.mask or range(self.num)


@dataclass(init=False, repr=False, eq=False)
class GaussianYolo(Yolo):
    """YOLOv3 head with an uncertainty for each of x, y, w, h (parse_gaussian_yolo)."""

    names: ClassVar[tuple[str, ...]] = ("Gaussian_yolo",)
    forks: ClassVar[tuple[str, ...]] = AH
    entries: ClassVar[int] = 9  # x, ux, y, uy, w, uw, h, uh, objectness

    anchors: tuple[float, ...] = key(())
    uc_normalizer: float = trained(1.0)
    yolo_point: str = key("center")


@dataclass(init=False, repr=False, eq=False)
class Region(Boxes):
    """YOLOv2 head (parse_region); anchors in cells of its grid."""

    names: ClassVar[tuple[str, ...]] = ("region",)

    coords: int = key(4, low=1)
    softmax: int = key(0)
    background: int = key(0, forks=(P,))
    tree: str = key("")
    log: int = key(0)
    sqrt: int = key(0)
    absolute: int = trained(0)
    rescore: int = trained(0)
    focal_loss: int = trained(0, forks=AH)
    thresh: float = trained(0.5)
    classfix: int = trained(0)
    coord_scale: float = trained(1.0)
    object_scale: float = trained(1.0)
    noobject_scale: float = trained(1.0)
    mask_scale: float = trained(1.0)
    class_scale: float = trained(1.0)
    bias_match: int = trained(0)

    @property
    def values(self) -> int:
        return self.coords + 1 + self.classes


@dataclass(init=False, repr=False, eq=False)
class Loss(Kind):
    """A kind that leaves its shape unset: only the number of values goes on."""

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(0, 0, 0, x.size)


@dataclass(init=False, repr=False, eq=False)
class Detection(Loss):
    """YOLOv1 head: `num` boxes and one class vector per cell of a side x side grid."""

    names: ClassVar[tuple[str, ...]] = ("detection",)
    forks: ClassVar[tuple[str, ...]] = AP
    is_head: ClassVar[bool] = True
    gives_boxes: ClassVar[bool] = True

    classes: int = key(1, low=0, high=MOST)
    coords: int = key(1, low=1)
    num: int = key(1, low=1, high=MOST)
    side: int = key(7, low=1)
    softmax: int = key(0)
    sqrt: int = key(0)
    rescore: int = trained(0)
    max: int = trained(200)
    forced: int = trained(0)
    coord_scale: float = trained(1.0)
    object_scale: float = trained(1.0)
    noobject_scale: float = trained(1.0)
    class_scale: float = trained(1.0)
    jitter: float = trained(0.2)
    resize: float = trained(1.0, forks=(A,))
    random: float = trained(0.0)
    reorg: int = trained(0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        needed = self.side**2 * (self.classes + self.num * (1 + self.coords))
        if x.size != needed:
            raise ShapeMismatch(f"[detection] reads {needed} values, but gets {x.size}; correct side=, num=, classes=")
        return super().shape(x, sources)

    def class_count(self, y: Shape) -> int:
        return self.classes


@dataclass(init=False, repr=False, eq=False)
class Iseg(Kind):
    """Instance segmentation (pjreddie)."""

    names: ClassVar[tuple[str, ...]] = ("iseg",)
    forks: ClassVar[tuple[str, ...]] = (P,)
    needs_image: ClassVar[bool] = True
    is_head: ClassVar[bool] = True

    classes: int = key(20, low=1, high=MOST)
    ids: int = key(32, low=0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if x.c != self.classes + self.ids:
            raise ShapeMismatch(f"[iseg] reads {self.classes + self.ids} channels, but gets {x.c}")
        return x


@dataclass(init=False, repr=False, eq=False)
class Softmax(Loss):
    """Class probabilities."""

    names: ClassVar[tuple[str, ...]] = ("softmax", "soft")
    is_head: ClassVar[bool] = True

    groups: int = key(1, low=1)
    temperature: float = key(1.0)
    tree: str = key("")
    spatial: float = key(0.0)
    noloss: int = trained(0)

    def class_count(self, y: Shape) -> int:
        return one_class_per_value(y)


@dataclass(init=False, repr=False, eq=False)
class Cost(Loss):
    """The loss of a classifier or a regression; it passes its input on at inference."""

    names: ClassVar[tuple[str, ...]] = ("cost",)

    type: str = trained("sse")
    scale: float = trained(1.0)
    ratio: float = trained(0.0)
    noobj: float = trained(1.0, forks=(P,))
    thresh: float = trained(0.0, forks=(P,))

    def class_count(self, y: Shape) -> int:
        return one_class_per_value(y)


@dataclass(init=False, repr=False, eq=False)
class Contrastive(Loss):
    """Contrastive loss on the embeddings of a [yolo] layer."""

    names: ClassVar[tuple[str, ...]] = ("contrastive",)
    forks: ClassVar[tuple[str, ...]] = AH

    yolo_layer: Refs = key((), derived=True, none=0, reads=False, first_only=DIALECTS)
    classes: int = key(1000, low=1, high=MOST)
    temperature: float = trained(1.0)
    cls_normalizer: float = trained(1.0)
    max_delta: float = trained(FLOAT_MAX)
    contrastive_neg_max: int = trained(3)
