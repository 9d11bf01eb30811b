"""Video files: every frame, in order, with the container's times."""

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import av.container
import av.error

from mocap.errors import MocapError
from mocap.sources.base import EndOfStream, Source
from mocap.sources.containers import Converter, nominal_fps, open_address, open_video
from mocap.types import Frame

log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0  # for containers that tell neither times nor a rate
LONGEST_DELAY = 256  # packets between a packet and its picture; decoders stay far below
ANSWER_S = 10.0  # a server that says nothing for this long is given up
BAD_READS_IN_A_ROW = 50  # after so many the rest of the file counts as unreadable


class VideoFile(Source):
    """A video file, decoded on the caller's thread. Frames are never dropped.

    ``t_capture`` is the container's time in seconds, 0 at the first frame and increasing; frames without a time follow
    the one before by the nominal rate. A picture that cannot be decoded is skipped and counted in ``broken``, and its
    index with it.

    Args:
        location: A path, or an http(s) address (str) of a recording.
        mirror: Flip left to right.

    Raises:
        MocapError: The file is missing, empty or not a video; from ``read``: no frame at all could be decoded.
    """

    def __init__(self, location: str | Path, *, mirror: bool = False) -> None:
        self.name = location.name if isinstance(location, Path) else location
        if isinstance(location, Path):
            self._container, self._stream = open_video(location)
        else:
            self._container, self._stream = open_address(location, (ANSWER_S, ANSWER_S))
        self._stream.thread_type = "FRAME"  # several at once: 0.9 instead of 2.2 ms at 720p on two cores, but later
        self.fps = nominal_fps(self._stream)
        self.duration_s = _duration_s(self._container, self._stream)
        self._convert = Converter(mirror)
        self._period_s = 1.0 / (self.fps or DEFAULT_FPS)
        self._index = -1
        self._t_first: float | None = None  # container time of the first frame, s
        self._t = 0.0  # of the last frame given, s
        self._sent: list[int] = []  # pts of the packets whose pictures are still to come, ascending
        self._damaged: set[int] = set()  # pts of packets that came damaged
        self._errors = 0  # of the decoder, whose gaps in the pictures are still to come
        self._cut_short = False
        self._frames = self._decode_all()

    def read(self, timeout_s: float = 1.0) -> Frame | None:
        try:
            return next(self._frames)
        except StopIteration:
            raise EndOfStream from None

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    def _decode_all(self) -> Generator[Frame, None, None]:
        for packet in self._packets():
            for picture in self._decode(packet):
                if not self._is_damaged(picture):
                    yield self._to_frame(picture)
        self._report_end()

    def _packets(self) -> Iterator[av.Packet | None]:
        """Packets to the end and an empty one or None, which flushes the decoder; unreadable places are passed over."""
        bad_reads = 0
        while bad_reads < BAD_READS_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    bad_reads = 0
                    self._note(packet)
                    yield packet
                return
            except av.error.ExitError:
                self._cut_short = True
                log.warning("%s: no answer within %g s; the rest is not read", self.name, ANSWER_S)
                break
            except av.FFmpegError as error:
                bad_reads += 1
                self._cut_short = True
                log.debug("%s: unreadable place: %s", self.name, error)
        yield None

    def _note(self, packet: av.Packet) -> None:
        if packet.size:
            self._cut_short = packet.is_corrupt  # FFmpeg marks a last packet that is not whole
        if packet.pts is not None:
            insort(self._sent, packet.pts)
            del self._sent[:-LONGEST_DELAY]
            if packet.is_corrupt:
                self._damaged.add(packet.pts)

    def _decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        try:
            return self._stream.decode(packet)
        except av.FFmpegError as error:  # of this packet or, as decoding is parallel, of one a few packets before
            log.debug("%s: %s", self.name, error)
            self._errors += 1
            return []

    def _is_damaged(self, picture: av.VideoFrame) -> bool:
        """Counts what the decoder's errors left out before this picture; whether it is itself to be left out."""
        missing = 0
        while self._sent and picture.pts is not None and self._sent[0] <= picture.pts:
            missing += self._sent.pop(0) < picture.pts
        for _ in range(min(missing, self._errors)):
            self._skip()
            self._errors -= 1
        damaged = picture.is_corrupt or picture.pts in self._damaged
        if damaged:
            self._skip()
        return damaged

    def _skip(self) -> None:
        self._index += 1
        self.broken += 1
        if self.broken == 1:
            log.warning("%s: broken frame after %.2f s; such frames are skipped and counted", self.name, self._t)

    def _to_frame(self, picture: av.VideoFrame) -> Frame:
        self._index += 1
        t_before, self._t = self._t, self._time(picture)
        if self._t - t_before > max(1.0, 10 * self._period_s):
            log.warning("%s: no frames between %.2f s and %.2f s", self.name, t_before, self._t)
        return Frame(self._index, self._t, self._convert(picture, self._stream))

    def _time(self, picture: av.VideoFrame) -> float:
        """Seconds from the first frame, always more than before: filters downstream divide by the time between."""
        base = picture.time_base or self._stream.time_base
        t = float(picture.pts * base) if picture.pts is not None and base else None
        if self._t_first is None:
            self._t_first = t or 0.0
            return 0.0
        if t is not None and t - self._t_first > self._t:
            return t - self._t_first
        return self._t + self._period_s

    def _report_end(self) -> None:
        for _ in range(self._errors):
            self._skip()
        given = self._index + 1 - self.broken
        if given <= 0:
            raise MocapError(f"{self.name}: expected a video, found no frame that can be decoded. Convert it again.")
        if self.broken:
            log.warning("%s: %d broken frames skipped, %d read", self.name, self.broken, given)
        t_end = self._t + self._period_s
        short_s = (self.duration_s or 0.0) - t_end
        if self._cut_short or short_s > max(0.5, 3 * self._period_s):
            of = f" of {self.duration_s:.2f} s" if self.duration_s else ""
            log.warning("%s: the file is cut short or damaged: %.2f s%s could be read", self.name, t_end, of)


def _duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """Length by the container's header, s."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
