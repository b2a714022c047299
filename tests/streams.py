"""Sources that tests make: addresses that send pictures as network cameras do, and videos of variable rate."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from darkshare._images import encoded

PATIENCE = 60  # seconds for whatever has to happen; a test that waits so long has failed
PACE = 0.01  # seconds between two pictures of a stream without end
SIZE = (64, 48)


def numbered(number: int) -> np.ndarray:
    """A picture that tells its number, to 255, in stripes of black and white, whatever encoded it."""
    bits = np.array([255 * (number >> bit & 1) for bit in range(8)], np.uint8)
    return np.broadcast_to(np.repeat(bits, SIZE[0] // 8)[None, :, None], (SIZE[1], SIZE[0], 3)).copy()


def number_of(image: np.ndarray) -> int:
    """The number that a picture tells."""
    stripes = image.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return int(sum(1 << bit for bit in range(8) if stripes[bit] > 127))


class Cameras:
    """Several network cameras on this machine.

    Args:
        cameras: by name, what gives the pictures of a connection from this and the connection's number, from 1; None
            in place of them is an error 404.

    Attributes:
        connections: how often each was opened.
        opened: set when it is opened for the first time.
        closed: set when a connection has ended for the first time.
        over: set when the test is.
    """

    def __init__(self, **cameras: Pictures) -> None:
        self.cameras = cameras
        self.connections = dict.fromkeys(cameras, 0)
        self.opened = {name: threading.Event() for name in cameras}
        self.closed = {name: threading.Event() for name in cameras}
        self.over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Callable[[str], str]]:
        """Serve; give what tells a camera's address."""
        cameras = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/").partition(".")[0]
                cameras.connections[name] += 1
                pictures = cameras.cameras[name](cameras, cameras.connections[name])
                if pictures is None:
                    self.send_error(404)
                    return
                cameras.opened[name].set()
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    for image in pictures:
                        data = encoded(image, ".jpg")
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                except OSError:  # nobody looks any more
                    pass
                cameras.closed[name].set()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield lambda name: f"http://127.0.0.1:{server.server_port}/{name}.mjpg?user=me"
        finally:
            self.over.set()
            server.shutdown()
            thread.join()
            server.server_close()


Pictures = Callable[[Cameras, int], Iterable[np.ndarray] | None]


def first(most: int) -> Pictures:
    """The pictures 1, 2, … of a camera that breaks off behind them."""
    return lambda cameras, connection: map(numbered, range(1, most + 1))


def endless(cameras: Cameras, connection: int = 1) -> Iterator[np.ndarray]:
    """The pictures of a camera that goes on until the test is over."""
    for number in count(1):
        yield numbered(number % 256)
        if cameras.over.wait(PACE):
            return


def variable_video(path: Path, gaps: Sequence[float]) -> list[float]:
    """Write an .mp4 of numbered frames, from 0; give the time of each, in seconds.

    OpenCV writes constant rates only, so the table of durations (`stts`) is replaced in the file.

    Args:
        path: where to write.
        gaps: from each frame to the next one, in thirtieths of a second.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
    for number in range(len(gaps)):
        writer.write(numbered(number))
    writer.release()
    data = bytearray(path.read_bytes())
    table = data.find(b"stts")
    (unit,) = struct.unpack(">I", data[table + 16 : table + 20])
    durations = [round(gap * unit) for gap in gaps]
    start, parents = 0, []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        while data[start + 4 : start + 8] != name:
            start += struct.unpack(">I", data[start : start + 4])[0]
        parents.append(start)
        start += 8
    for parent in parents:
        (length,) = struct.unpack(">I", data[parent : parent + 4])
        data[parent : parent + 4] = struct.pack(">I", length + 8 * (len(gaps) - 1))
    rows = b"".join(struct.pack(">II", 1, duration) for duration in durations)
    data[table + 8 : table + 20] = struct.pack(">I", len(gaps)) + rows
    _set_length(data, sum(durations))
    path.write_bytes(data)
    return [sum(durations[:number]) / (30 * unit) for number in range(len(gaps))]


def _set_length(data: bytearray, length: int) -> None:
    """Correct the lengths that the headers of a film, its track and its medium tell."""
    medium, film = data.find(b"mdhd"), data.find(b"mvhd")
    (scale,) = struct.unpack(">I", data[medium + 16 : medium + 20])
    (coarse,) = struct.unpack(">I", data[film + 16 : film + 20])
    places = {
        medium + 20: length,
        film + 20: length * coarse // scale,
        data.find(b"tkhd") + 24: length * coarse // scale,
    }
    edits = data.find(b"elst")
    if edits > 0:
        places[edits + 12] = length * coarse // scale
    for place, value in places.items():
        data[place : place + 4] = struct.pack(">I", value)
