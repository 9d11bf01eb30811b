"""Small videos whose frames can be told apart, written with PyAV."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mocap.sources import EndOfStream, Source
from mocap.types import Frame

Image = NDArray[np.uint8]


def numbered(number: int, width: int = 64, height: int = 48) -> Image:
    """(H, W, 3) uint8, a grey that tells the number: 8, 24, 40 … in turn, with a coloured quarter top left."""
    image = np.full((height, width, 3), 8 + 16 * (number % 15), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    return image


def number_of(rgb: Image) -> int:
    """What ``numbered`` was given, modulo 15, read at the lower right corner; lossy coding does not hide it."""
    return round((int(rgb[-1, -1].astype(int).mean()) - 8) / 16)


def write_video(
    path: Path,
    images: Sequence[Image],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 30,
    times_s: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> Path:
    """Encodes images; ``times_s`` gives their times, otherwise they follow ``rate``."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if prepare is not None:
            prepare(stream)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def packet_ranges(path: Path) -> list[tuple[int, int]]:
    """Byte offset and size in the file of every video packet."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def damage(path: Path, start: int, size: int) -> None:
    """Overwrites bytes with noise."""
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    with path.open("r+b") as file:
        file.seek(start)
        file.write(noise)


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Polls until the condition holds; fails the test when it never does."""
    deadline = time.perf_counter() + timeout_s
    while not condition():
        assert time.perf_counter() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(0.005)


def interrupt_when(condition: Callable[[], object]) -> None:
    """Ctrl-C in the main thread, once the condition holds."""

    def interrupt() -> None:
        wait_for(condition, "the moment of Ctrl-C")
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()


class FrameList(Source):
    """Frames that are in memory, in order, none dropped."""

    def __init__(self, frames: Sequence[Frame], fps: float | None = None) -> None:
        self.name = "frames"
        self.fps = fps
        self._frames = iter(frames)

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        try:
            return next(self._frames)
        except StopIteration:
            raise EndOfStream from None

    def close(self) -> None:
        self._frames = iter(())


def capture_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("capture ", "player "))]
