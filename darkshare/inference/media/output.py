"""The files of a run: which sinks its frames go to, and when these are opened and finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from darkshare._files import failure
from darkshare.darknet.model import Model
from darkshare.errors import DarkshareError
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.sinks import FORMATS, Sink, SinkJob

_OF_PICTURES, _OF_VIDEOS = ("picture", "json"), ("video", "json")


class OutputFiles:
    """The files of a run.

    Args:
        folder: where they go.
        model: whose tasks and classes are found.
        save: which of `sinks.FORMATS`; without any, pictures become pictures and JSON, videos a video and JSON lines.
        container: the suffix of videos, one of `videos.CONTAINERS`.
    """

    def __init__(self, folder: Path, model: Model, save: Sequence[str] = (), container: str = ".avi") -> None:
        self._job = SinkJob(folder, model, container)
        self._save = save
        self._run: dict[str, Sink] = {}
        self._video: dict[str, Sink] = {}
        self._source = ""
        self._done: list[Path] = []

    def draws(self, frame: Frame) -> bool:
        """Tell whether any file shows this frame."""
        return any(kind.draws for kind in self._kinds(frame).values())

    def write(self, frame: Frame, stem: str) -> None:
        """Take one frame that has no error.

        Raises:
            DarkshareError: it cannot be written.
        """
        try:
            if frame.clip and self._source != frame.source:
                self._close(self._video)
                self._source = frame.source
            for name, kind in self._kinds(frame).items():
                open_ones = self._video if kind is FORMATS[name].video else self._run
                if name not in open_ones:
                    open_ones[name] = kind(self._job)
                open_ones[name].write(frame, stem)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> list[Path]:
        """Finish all files, and give those that the user is to know of.

        Raises:
            DarkshareError: one cannot be finished.
        """
        try:
            self._close(self._video)
            self._close(self._run)
        except OSError as error:
            raise self._failed(error) from None
        return self._done

    def _kinds(self, frame: Frame) -> dict[str, type[Sink]]:
        wanted = self._save or (_OF_VIDEOS if frame.clip else _OF_PICTURES)
        kinds = {name: (frame.clip and FORMATS[name].video) or FORMATS[name].run for name in wanted}
        return {name: kind for name, kind in kinds.items() if kind}

    def _close(self, sinks: dict[str, Sink]) -> None:
        """Finish them all, even where one fails."""
        with ExitStack() as stack:
            for sink in reversed(list(sinks.values())):
                stack.callback(self._finish, sink)
            sinks.clear()

    def _finish(self, sink: Sink) -> None:
        self._done += sink.close()

    def _failed(self, error: OSError) -> DarkshareError:
        return failure("written", error.filename or self._job.folder, error)
