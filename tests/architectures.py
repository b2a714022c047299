"""Well-known networks as cfg text, generated: the paper's tables in a few lines each.

Sources: darknet53 and yolov3, arXiv 1804.02767 (table 1 and section 2.3); resnet152, arXiv 1512.03385 (table 1);
yolov4-tiny, arXiv 2011.08036 (section 4.3). `test_architectures.py` compares them with the files that Darknet ships.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

YOLOV3_ANCHORS = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
Stages = Sequence[tuple[int, int]]  # (filters, blocks)
DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
RESNET152 = ((64, 3), (128, 8), (256, 36), (512, 3))
TINY_ANCHORS = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)


def yolov3_text(classes: int = 80, anchors: Sequence[float] | None = None, size: int = 416) -> str:
    """YOLOv3: 107 layers, darknet53 as layers 0..74, heads 82, 94, 106."""
    anchors = anchors or YOLOV3_ANCHORS
    n = len(anchors) // 6  # anchors of each head
    parts = [_net(size), *_darknet53_trunk()]
    for scale, skip in ((2, None), (1, 61), (0, 36)):
        filters = 128 * 2**scale
        if skip is not None:
            parts += [*_up(filters), _section("route", layers=f"-1,{skip}")]
        parts += [_conv(filters, 1), _conv(2 * filters, 3)] * 3
        parts += _head(classes, anchors, range(n * scale, n * scale + n))
    return "\n".join(parts)


def yolov3_tiny_text(classes: int = 80, anchors: Sequence[float] | None = None, size: int = 416) -> str:
    """YOLOv3-tiny: 24 layers, heads 16 and 23."""
    anchors = anchors or TINY_ANCHORS
    n = len(anchors) // 4
    parts = [_net(size)]
    for filters in (16, 32, 64, 128, 256, 512):
        parts += [_conv(filters, 3), _section("maxpool", size=2, stride=1 if filters == 512 else 2)]
    parts += [_conv(1024, 3), _conv(256, 1), _conv(512, 3), *_head(classes, anchors, range(n, 2 * n))]
    parts += [*_up(128), _section("route", layers="-1,8"), _conv(256, 3), *_head(classes, anchors, range(n))]
    return "\n".join(parts)


def yolov4_tiny_text(classes: int = 80, anchors: Sequence[float] | None = None, size: int = 416) -> str:
    """YOLOv4-tiny: 38 layers, three partial residual stages, heads 30 and 37."""
    anchors = anchors or TINY_ANCHORS
    n = len(anchors) // 4
    parts = [_net(size), _conv(32, 3, stride=2), _conv(64, 3, stride=2)]
    for filters in (64, 128, 256):
        parts += [_conv(filters, 3), _section("route", layers=-1, groups=2, group_id=1)]
        parts += [_conv(filters // 2, 3)] * 2
        parts += [_section("route", layers="-1,-2"), _conv(filters, 1), _section("route", layers="-6,-1")]
        parts.append(_section("maxpool", size=2, stride=2))
    more = {"scale_x_y": 1.05, "nms_kind": "greedynms", "beta_nms": 0.6}
    parts += [_conv(512, 3), _conv(256, 1), _conv(512, 3), *_head(classes, anchors, range(n, 2 * n), **more)]
    parts += [*_up(128), _section("route", layers="-1,23"), _conv(256, 3)]
    # The shipped file gives the second head the anchors 1, 2, 3.
    parts += _head(classes, anchors, range(1, n + 1), **more)
    return "\n".join(parts)


def darknet53_text(classes: int = 1000, size: int = 256, stages: Stages = DARKNET53) -> str:
    """The darknet53 classifier: 78 layers; or one of other stages."""
    last = [_section("avgpool"), _plain(classes), _section("softmax", groups=1)]
    return "\n".join([_net(size), *_darknet53_trunk(stages), *last])


def resnet152_text(classes: int = 1000, size: int = 256, stages: Stages = RESNET152, groups: int = 1) -> str:
    """ResNet-152 as Darknet writes it: shortcuts between different shapes instead of projections; or other stages.

    With groups, its 3x3 convolutions are those of a ResNeXt.
    """
    first = stages[0][0]
    parts = [_net(size), _conv(first, 7, stride=2), _section("maxpool", size=2, stride=2)]
    for filters, blocks in stages:
        for block in range(blocks):
            stride = 2 if block == 0 and filters > first else 1
            middle = _conv(filters, 3, stride=stride) + (f"groups={groups}\n" if groups > 1 else "")
            parts += [_conv(filters, 1), middle, _conv(4 * filters, 1, activation="linear")]
            parts.append(_section("shortcut", **{"from": -4}, activation="leaky"))
    return "\n".join([*parts, _plain(classes), _section("avgpool"), _section("softmax", groups=1)])


def _darknet53_trunk(stages: Stages = DARKNET53) -> list[str]:
    parts = [_conv(stages[0][0] // 2, 3)]
    for filters, blocks in stages:
        parts.append(_conv(filters, 3, stride=2))
        residual = [_conv(filters // 2, 1), _conv(filters, 3)]
        parts += [*residual, _section("shortcut", **{"from": -3}, activation="linear")] * blocks
    return parts


def _section(kind: str, **values: object) -> str:
    return "".join([f"[{kind}]\n", *(f"{key}={value}\n" for key, value in values.items())])


def _net(size: int) -> str:
    return _section("net", width=size, height=size, channels=3)


def _conv(filters: int, size: int, *, stride: int = 1, activation: str = "leaky") -> str:
    rest = {"filters": filters, "size": size, "stride": stride, "pad": 1, "activation": activation}
    return _section("convolutional", batch_normalize=1, **rest)


def _plain(filters: int) -> str:
    return _section("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear")


def _up(filters: int) -> list[str]:
    return [_section("route", layers=-4), _conv(filters, 1), _section("upsample", stride=2)]


def _head(classes: int, anchors: Sequence[float], mask: Iterable[int], **more: object) -> list[str]:
    mask = list(mask)
    head = {"mask": ",".join(map(str, mask)), "anchors": ", ".join(map(str, anchors)), "classes": classes}
    return [_plain(len(mask) * (classes + 5)), _section("yolo", **head, num=len(anchors) // 2, **more)]
