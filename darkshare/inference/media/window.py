"""Windows that show frames with their boxes as they are done, until a key or their close button ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from darkshare._children import start
from darkshare._files.scratch import scratch
from darkshare.errors import Unsupported
from darkshare.inference.media.frames import Frame

NAME = "darkshare"  # of the window for all that is not a camera or stream of its own
LARGEST = (1280, 720)  # pixels that a window has at first, at most
_QUITS = frozenset(b"qQ\x1b")
_PAUSE = 20  # milliseconds between two looks at the keyboard
_PATIENCE = 30.0  # seconds for a window to open
_UNMADE = 3  # exit code where OpenCV was built without windows


class LiveView:
    """The windows of a run: one for each camera and stream, and one for all else.

    Raises:
        Unsupported: this OpenCV has no windows, or there is no display.
    """

    def __init__(self) -> None:
        _require_display()
        _give_fonts()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._begun: dict[str, float] = {}
        self._ended = False

    def show(self, frame: Frame) -> None:
        """Show a frame that was drawn: a picture until a key is pressed, one of a video file when its time has come."""
        import cv2

        name = frame.source if frame.clip and frame.clip.apart else NAME
        if self._sizes.get(name) != frame.size:
            self._sizes[name] = frame.size
            scale = min(1.0, *(most / own for most, own in zip(LARGEST, frame.size, strict=True)))
            cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(name, *(max(1, round(side * scale)) for side in frame.size))
        assert frame.drawn is not None, "the pipeline draws what is shown"
        cv2.imshow(name, frame.drawn)
        cv2.setWindowTitle(name, f"{frame.source} {frame.number}" if frame.is_numbered else frame.source)
        if frame.clip is None:
            while not self._look(_PAUSE):
                pass
        elif not frame.clip.live:
            due = self._begun.setdefault(frame.source, monotonic() - (frame.seconds or 0.0)) + (frame.seconds or 0.0)
            while not self._look(1) and (left := due - monotonic()) > 0:
                self._look(min(_PAUSE, max(1, int(1000 * left))))
        else:
            self._look(1)

    def ends(self) -> bool:
        """Look at the keyboard, and tell whether the user wants no more."""
        if self._sizes and not self._ended:
            self._look(1)
        return self._ended

    def close(self) -> None:
        """Close all."""
        import cv2

        if self._sizes:
            cv2.destroyAllWindows()

    def _look(self, milliseconds: int) -> bool:
        """Let the windows be painted for so long; tell whether a key was pressed or one of them closed."""
        import cv2

        key = cv2.waitKey(milliseconds)
        closed = any(cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) < 1 for name in self._sizes)
        self._ended |= closed or (key >= 0 and key & 0xFF in _QUITS)
        return key >= 0 or closed


def _require_display() -> None:
    """Refuse to go on where no window opens; that is tried in another process, which Qt ends if it cannot.

    Raises:
        Unsupported: none does.
    """
    with scratch() as folder, tempfile.TemporaryFile() as errors, start(__name__, folder, errors) as process:
        try:
            code = process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            process.kill()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").split("\n")[0].strip()
    if code == _UNMADE:
        raise Unsupported(
            "--show: this OpenCV has no windows, as opencv-python-headless has not: pip uninstall "
            "opencv-python-headless, then pip install --force-reinstall opencv-python"
        )
    if code:
        raise Unsupported(
            "--show: no window opens here; run it on a machine's own screen, or through ssh -X, where DISPLAY names "
            f"one; without --show the same is written{f' ({said})' if said else ''}"
        )


def _give_fonts() -> None:
    """Name a folder of fonts where OpenCV's is missing, which Qt would complain of with each window."""
    import cv2  # noqa: F401 - it says where Qt looks
    import matplotlib as mpl

    if not Path(os.environ.get("QT_QPA_FONTDIR", ".")).is_dir():
        os.environ["QT_QPA_FONTDIR"] = str(Path(mpl.get_data_path(), "fonts", "ttf"))


def main() -> None:
    """Try to open a window, in a process of its own."""
    import cv2

    try:
        cv2.namedWindow(NAME)
        cv2.destroyAllWindows()
    except cv2.error:
        sys.exit(_UNMADE)
