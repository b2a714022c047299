"""The limit of pixels: a small file can hold a picture of any size, and decoding takes memory by the pixel."""

from __future__ import annotations

import os
from math import ceil, isfinite

from darkshare._images.sizes import Size
from darkshare.errors import BadValue, DarkshareError

MAX_MEGAPIXELS = 128.0
VARIABLE = "DARKSHARE_MAX_MEGAPIXELS"  # of the environment, so that threads and child processes have it too


def max_megapixels() -> float:
    """Give the limit: that of the environment, or else 128.

    Raises:
        BadValue: the environment's is not a number above 0.
    """
    given = os.environ.get(VARIABLE, "")
    try:
        limit = float(given) if given else MAX_MEGAPIXELS
    except ValueError:
        limit = 0.0
    if not (isfinite(limit) and limit > 0):
        raise BadValue(f"{VARIABLE}={given} is not a number of megapixels above 0")
    return limit


def require_moderate(size: Size | None, name: str, what: str = "picture") -> None:
    """Refuse more pixels than the limit.

    Args:
        size: width and height; None, which passes, where they are not clear.
        name: for the error.
        what: has the size.

    Raises:
        DarkshareError: there are more; with the option that raises the limit.
    """
    width, height = size or (0, 0)
    if width * height > max_megapixels() * 1e6:
        wanted = ceil(width * height / 1e6)
        raise DarkshareError(
            f"a {what} of {width} x {height} pixels is {wanted} megapixels, above the limit of {max_megapixels():g}; "
            f"if it is meant to be so large: darkshare --max-megapixels {wanted} …",
            file=name,
        )
