"""The [net] section: input size, batch, schedule, augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import A, Described, H, P, Shape, key, trained

AH, AP = (A, H), (A, P)


@dataclass(init=False, repr=False, eq=False)
class Net(Described):
    """Keys of [net] with Darknet's defaults. It is not a layer and has no index."""

    names: ClassVar[tuple[str, ...]] = ("net", "network")

    width: int = key(0, low=0)
    height: int = key(0, low=0)
    channels: int = key(0, low=0)
    inputs: int = key(0, low=0)
    letter_box: int = key(0, forks=AH)
    batch: int = trained(1)
    subdivisions: int = trained(1)
    time_steps: int = trained(1)
    sequential_subdivisions: int = trained(0, forks=AH)
    track: int = trained(0, forks=AH)
    augment_speed: int = trained(2, forks=AH)
    notruth: int = trained(0, forks=(P,))
    random: int = trained(0, forks=(P,))
    clip: float = trained(0.0, forks=(P,))
    center: int = trained(0, forks=(P,))
    max_ratio: float = trained(0.0, forks=(P,))
    min_ratio: float = trained(0.0, forks=(P,))
    max_batches: int = trained(0)
    learning_rate: float = trained(0.001)
    learning_rate_min: float = trained(0.00001, forks=AH)
    sgdr_cycle: int = trained(0, forks=AH)
    sgdr_mult: int = trained(2, forks=AH)
    momentum: float = trained(0.9)
    decay: float = trained(0.0001)
    policy: str = trained("constant")
    burn_in: int = trained(0)
    power: float = trained(4.0)
    step: int = trained(1)
    scale: float = trained(1.0)
    steps: tuple[int, ...] = key((), training=True, hash_ends=(A,))
    scales: tuple[float, ...] = trained(())
    seq_scales: tuple[float, ...] = trained((), forks=AH)
    gamma: float = trained(1.0)
    adam: int = trained(0)
    B1: float = trained(0.9)
    B2: float = trained(0.999)
    eps: float = trained(0.000001)
    max_crop: int = trained(0, forks=AP)
    min_crop: int = trained(0, forks=AP)
    flip: int = trained(1, forks=AH)
    angle: float = trained(0.0)
    aspect: float = trained(1.0)
    saturation: float = trained(1.0)
    exposure: float = trained(1.0)
    hue: float = trained(0.0)
    blur: int = trained(0, forks=AH)
    gaussian_noise: int = trained(0, forks=AH)
    mixup: int = trained(0, forks=AH)
    cutmix: int = trained(0, forks=AH)
    mosaic: int = trained(0, forks=AH)
    mosaic_bound: int = trained(0, forks=AH)
    contrastive: int = trained(0, forks=AH)
    contrastive_jit_flip: int = trained(0, forks=AH)
    contrastive_color: int = trained(0, forks=AH)
    unsupervised: int = trained(0, forks=(A,))
    label_smooth_eps: float = trained(0.0, forks=AH)
    resize_step: float = trained(32.0, forks=AH)
    attention: int = trained(0, forks=AH)
    adversarial_lr: float = trained(0.0, forks=AH)
    max_chart_loss: float = trained(20.0, forks=AH)
    try_fix_nan: int = trained(0, forks=AH)
    weights_reject_freq: int = trained(0, forks=AH)
    equidistant_point: int = trained(0, forks=AH)
    badlabels_rejection_percentage: float = trained(0.0, forks=AH)
    num_sigmas_reject_badlabels: float = trained(0.0, forks=AH)
    ema_alpha: float = trained(0.0, forks=AH)
    use_cuda_graph: int = trained(0, forks=AH)
    loss_scale: float = trained(1.0, forks=AH)
    dynamic_minibatch: int = trained(0, forks=AH)
    optimized_memory: int = trained(0, forks=AH)
    workspace_size_limit_MB: float = trained(1024.0, forks=AH)  # noqa: N815  (Darknet's spelling)
    show_receptive_field: float = trained(0.0, forks=AH)

    @property
    def input(self) -> Shape:
        """The image, or `inputs` values where no image is given."""
        image = Shape(self.channels, self.height, self.width)
        return image if image.is_image else Shape(0, 0, 0, self.inputs)
