"""What every source of frames looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from mocap.types import Frame

SourceT = TypeVar("SourceT", bound="Source")


class EndOfStream(Exception):
    """The source has no more frames: the end of a file, or the source is closed. Not an error."""


class Source(ABC):
    """A stream of frames, used as a context manager.

    Live sources give the newest frame and drop what the reader was too late for; the others give every frame in order.
    """

    name: str  # for people: the camera's name, the file's name, the address
    live: bool = False  # frames come by the clock, not by the reader
    fps: float | None = None  # nominal; frames carry their own times
    focal_px: float | None = None  # focal length in pixels, where EXIF tells it
    broken: int = 0  # pictures that came but could not be decoded; each leaves a gap in Frame.index

    @property
    def dropped(self) -> int:
        """Frames that were replaced by newer ones before they were read. Always 0 for files."""
        return 0

    @abstractmethod
    def read(self, timeout_s: float = 1.0) -> Frame | None:
        """The next frame (the newest one of a live source), or None when nothing came within ``timeout_s``.

        Raises:
            EndOfStream: There are no more frames.
            MocapError: The source failed for a reason that the user can mend.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the device or file and joins the threads. Calling it again does nothing."""

    def __iter__(self) -> Iterator[Frame]:
        """Every frame that ``read`` gives, until the end."""
        while True:
            try:
                frame = self.read()
            except EndOfStream:
                return
            if frame is not None:
                yield frame

    def __enter__(self: SourceT) -> SourceT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
