"""Pictures, videos, cameras and lists in; pictures, videos and tables with what was found out.

Within the package: frames, timing < videos, window < sources, sinks < output, pipeline, tally < chunk_jobs < chunks
< detecting, classifying.
"""

from __future__ import annotations

from darkshare.inference.media.classifying import PictureClasses, classify
from darkshare.inference.media.detecting import DetectionRun, detect
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.output import OutputFiles
from darkshare.inference.media.output_names import OutputNames
from darkshare.inference.media.pipeline import flow, reading, watch
from darkshare.inference.media.sinks import FORMATS
from darkshare.inference.media.sources import select
from darkshare.inference.media.videos import CONTAINERS, Video

__all__ = [
    "CONTAINERS",
    "FORMATS",
    "DetectionRun",
    "Frame",
    "OutputFiles",
    "OutputNames",
    "PictureClasses",
    "Video",
    "classify",
    "detect",
    "flow",
    "reading",
    "select",
    "watch",
]
