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
        self._video: dict[str, Sink] = {}  # of the file that is read
        self._streams: dict[str, dict[str, Sink]] = {}  # of each camera and stream
        self._source = ""
        self._done: list[Path] = []
        self._notes: dict[type[Sink], str] = {}

    def draws(self, frame: Frame) -> bool:
        """Tell whether any file shows this frame."""
        return any(kind.draws for kind in self._kinds(frame).values())

    def write(self, frame: Frame, stem: str) -> None:
        """Take one frame that has no error.

        Raises:
            DarkshareError: it cannot be written.
        """
        try:
            own = self._own(frame)
            for name, kind in self._kinds(frame).items():
                open_ones = own if kind is FORMATS[name].video else self._run
                if name not in open_ones:
                    open_ones[name] = kind(self._job)
                open_ones[name].write(frame, stem)
        except OSError as error:
            raise self._failed(error) from None

    def end(self, source: str) -> None:
        """Finish the files of a camera or stream that broke off, so that they are whole whatever comes.

        Raises:
            DarkshareError: one cannot be finished.
        """
        self._close(self._streams.get(source, {}))

    def close(self) -> list[Path]:
        """Finish all files, and give those that the user is to know of.

        Raises:
            DarkshareError: one cannot be finished.
        """
        with ExitStack() as stack:
            for sinks in (self._run, *reversed(self._streams.values()), self._video):
                stack.callback(self._close, sinks)
        return self._done

    def notes(self) -> list[str]:
        """Give what the user is to know of the files: one line for all of a kind."""
        return list(self._notes.values())

    def _own(self, frame: Frame) -> dict[str, Sink]:
        """The sinks of the video that a frame is from; those of a file are finished when the next one begins."""
        if frame.clip and frame.clip.apart:
            return self._streams.setdefault(frame.source, {})
        if frame.clip and self._source != frame.source:
            self._close(self._video)
            self._source = frame.source
        return self._video

    def _kinds(self, frame: Frame) -> dict[str, type[Sink]]:
        wanted = self._save or (_OF_VIDEOS if frame.clip else _OF_PICTURES)
        kinds = {name: (frame.clip and FORMATS[name].video) or FORMATS[name].run for name in wanted}
        return {name: kind for name, kind in kinds.items() if kind}

    def _close(self, sinks: dict[str, Sink]) -> None:
        """Finish them all, even where one fails."""
        try:
            with ExitStack() as stack:
                for sink in reversed(list(sinks.values())):
                    stack.callback(self._finish, sink)
                sinks.clear()
        except OSError as error:
            raise self._failed(error) from None

    def _finish(self, sink: Sink) -> None:
        self._done += sink.close()
        if sink.note:
            self._notes.setdefault(type(sink), sink.note)

    def _failed(self, error: OSError) -> DarkshareError:
        return failure("written", error.filename or self._job.folder, error)
