"""Pictures, videos, cameras and lists in; pictures, videos and tables with what was found out."""

from __future__ import annotations

from darkshare.media.frames import Clip, Frame
from darkshare.media.output import NAMES, Output
from darkshare.media.pipeline import flow, watch
from darkshare.media.places import Places
from darkshare.media.sources import Selection, select
from darkshare.media.videos import CONTAINERS, Video

__all__ = ["CONTAINERS", "NAMES", "Clip", "Frame", "Output", "Places", "Selection", "Video", "flow", "select", "watch"]
