"""Pictures, videos, cameras and lists in; pictures, videos and tables with what was found out."""

from __future__ import annotations

from darkshare.inference.media.frames import Clip, Frame
from darkshare.inference.media.output import NAMES, Output
from darkshare.inference.media.pipeline import flow, watch
from darkshare.inference.media.places import Places
from darkshare.inference.media.sources import Selection, select
from darkshare.inference.media.videos import CONTAINERS, Video

__all__ = ["CONTAINERS", "NAMES", "Clip", "Frame", "Output", "Places", "Selection", "Video", "flow", "select", "watch"]
