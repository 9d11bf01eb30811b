"""`mocap bench`: speed, latency and memory of this machine, side by side with MediaPipe's own pose solution.

The frame times are taken in turns on the same decoded frames, so that a noisy machine is as unfair to both. Age,
drops, memory and start are seen from outside: a real `mocap live` runs in a process of its own, and its OSC is read.
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage
from tqdm import tqdm

from engines.benchmark import check_writable, hardware
from mocap.assets import asset_path
from mocap.config import CaptureConfig, OscConfig, VmcConfig
from mocap.errors import MocapError
from mocap.pipeline import Pipeline
from mocap.sinks import open_sinks
from mocap.sources import EndOfStream, open_file
from mocap.types import Frame

DEMO, DEMO_TWO = "demo.mp4", "demo_two.mp4"
WARM_UP = 30  # frames
DISCARD_PORT = 9  # nobody listens: the cost of sending is the same


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "ok" if self.value <= self.target else "MISSED"


def bench(json_file: str | None, seconds: float, soak_minutes: float) -> int:
    """Measure, print a table, write JSON. Returns 0, or 1 when a target was missed."""
    if json_file:
        check_writable(Path(json_file))  # before minutes are spent
    rows = frame_times() + two_people()
    rows += live_run(seconds)
    if soak_minutes:
        rows += soak(soak_minutes * 60)
    print(f"\n{hardware()}\n")
    print(f"{'':58s} {'measured':>10s} {'target':>10s}")
    for row in rows:
        target = "" if row.target is None else f"{row.target:g} {row.unit}"
        print(f"{row.name:58s} {row.value:6.2f} {row.unit:3s} {target:>10s}  {row.verdict:6s} {row.note}")
    if json_file:
        content = {"hardware": hardware(), "rows": [asdict(row) for row in rows]}
        Path(json_file).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 1 if any(row.verdict == "MISSED" for row in rows) else 0


def load_frames(asset: str, limit: int = 150) -> list[Frame]:
    """The first frames of a shipped clip, decoded, at its own size (1280 × 720)."""
    frames: list[Frame] = []
    with open_file(str(asset_path(asset))) as source:
        while len(frames) < limit:
            try:
                frame = source.read()
            except EndOfStream:
                break
            if frame is not None:
                frames.append(frame)
    return frames


@dataclass
class Chain:
    """A pipeline with its sinks, called frame by frame; keeps the milliseconds of each call and stage."""

    max_people: int
    ms: list[float] = field(default_factory=list)
    stage_ms: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        config = CaptureConfig(
            max_people=self.max_people,
            osc=OscConfig("127.0.0.1", DISCARD_PORT),
            vmc=VmcConfig("127.0.0.1", DISCARD_PORT),
        )
        self.pipeline, self.sinks = Pipeline(config), open_sinks(config, on=False)

    def __call__(self, frame: Frame) -> int:
        start = time.perf_counter()
        ((_, result),) = self.pipeline(frame, time.perf_counter())
        sent = time.perf_counter()
        for sink in self.sinks:
            sink.send(result)
        self.ms.append((time.perf_counter() - start) * 1e3)
        for name, value in {**result.stage_ms, "sinks": (time.perf_counter() - sent) * 1e3}.items():
            self.stage_ms.setdefault(name, []).append(value)
        return len(result.persons)


def frame_times() -> list[Row]:
    """Frame to OSC for one person, in turns with ``mediapipe.solutions.pose`` on the same frames."""
    frames = load_frames(DEMO)
    chain, reference, reference_ms = Chain(max_people=1), mediapipe_process(), []
    for frame in tqdm(frames, desc="frame to OSC, beside MediaPipe", unit="frame"):
        chain(frame)
        reference_ms.append(reference(frame.rgb))
    ours, theirs = chain.ms[WARM_UP:], reference_ms[WARM_UP:]
    rows = [
        Row("frame to OSC, one person, median", statistics.median(ours), "ms"),
        Row("MediaPipe solutions.pose complexity 1, median", statistics.median(theirs), "ms"),
        Row("frame to OSC over MediaPipe", statistics.median(ours) / statistics.median(theirs), "×", 0.75),
        Row("frame to OSC, one person, 95th percentile", float(np.percentile(ours, 95)), "ms", 33),
    ]
    return rows + [Row(f"  of it {k}, median", statistics.median(v[WARM_UP:]), "ms") for k, v in chain.stage_ms.items()]


def mediapipe_process() -> Callable[[NDArray[np.uint8]], float]:
    """MediaPipe's own whole pipeline as a function from a picture to the milliseconds it took."""
    import mediapipe

    pose = mediapipe.solutions.pose.Pose(model_complexity=1)

    def process(rgb: NDArray[np.uint8]) -> float:
        start = time.perf_counter()
        pose.process(rgb)
        return (time.perf_counter() - start) * 1e3

    return process


def two_people() -> list[Row]:
    """Two people over one person, in turns on the clip with two; only frames where both chains saw all count."""
    frames = load_frames(DEMO_TWO)
    one, two = Chain(max_people=1), Chain(max_people=2)
    pairs = []
    for frame in tqdm(frames, desc="two people beside one", unit="frame"):
        if (one(frame), two(frame)) == (1, 2):
            pairs.append((one.ms[-1], two.ms[-1]))
    if len(pairs) <= WARM_UP:
        raise MocapError(f"bench: two people were found in {len(pairs)} of {len(frames)} frames of {DEMO_TWO}")
    single, double = (statistics.median(column) for column in zip(*pairs[WARM_UP:], strict=True))
    note = f"{double:.1f} ms over {single:.1f} ms"
    return [Row("two people over one person", double / single, "×", 1.6, note)]


@dataclass
class LiveReport:
    """What a process of `mocap live` showed from outside."""

    start_s: float = float("nan")
    first_index: int = -1
    last_index: int = -1
    ages_ms: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Gaps in the frame index: what the source delivered and nobody sent."""
        return self.last_index - self.first_index + 1 - len(self.ages_ms)


def observe_live(seconds: float, label: str) -> LiveReport:
    """Run `mocap live` on the demo clip, paced at its 30 fps in a loop, and read its OSC."""
    report = LiveReport()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, tempfile.TemporaryDirectory() as folder:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.5)
        port = receiver.getsockname()[1]
        command = [sys.executable, "-m", "mocap", "live", "--camera", str(asset_path(DEMO)), "--loop", "--out", folder]
        command += ["--osc.port", str(port), "--duration", str(seconds)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        _read_osc(receiver, process, report, start, seconds, label)
        errors = process.communicate()[1]
        if process.returncode or not report.ages_ms:
            raise MocapError(f"bench: mocap live ended with {process.returncode}: {errors.strip()[-500:]}")
    return report


def _read_osc(
    receiver: socket.socket,
    process: subprocess.Popen[str],
    report: LiveReport,
    start: float,
    seconds: float,
    label: str,
) -> None:
    info = psutil.Process(process.pid)
    next_sample = 0.0
    with tqdm(total=round(seconds), desc=label, unit="s") as progress:
        while process.poll() is None:
            with contextlib.suppress(TimeoutError):
                for address, values in messages(receiver.recv(65536)):
                    _take_message(report, address, values, time.perf_counter() - start)
            now = time.perf_counter()
            if report.ages_ms and now >= next_sample:
                next_sample = now + 1.0
                with contextlib.suppress(psutil.NoSuchProcess):  # it ended in between
                    report.rss_mb.append(info.memory_info().rss / 1e6)
                progress.update(1)


def _take_message(report: LiveReport, address: str, values: list[Any], elapsed_s: float) -> None:
    if address == "/mocap/frame":
        index, age_ms, _ = values
        report.first_index = index if report.first_index < 0 else report.first_index
        report.last_index = index
        report.ages_ms.append(age_ms)
    elif address.endswith("/root") and not report.start_s < float("inf"):
        report.start_s = elapsed_s


def messages(datagram: bytes) -> Iterator[tuple[str, list[Any]]]:
    """Address and values of every OSC message in a datagram."""
    if not OscBundle.dgram_is_bundle(datagram):
        message = OscMessage(datagram)
        yield message.address, list(message.params)
        return
    for part in OscBundle(datagram):
        yield from messages(part.dgram)


def live_run(seconds: float) -> list[Row]:
    """Drops, age, memory and start of a real `mocap live`; a first short run warms the caches."""
    observe_live(3, "warm caches")
    report = observe_live(seconds, f"30 fps for {seconds:g} s")
    settled = report.ages_ms[WARM_UP:] or report.ages_ms
    return [
        Row(f"dropped in {seconds:g} s at 30 fps", report.dropped, "", 0, f"{len(report.ages_ms)} frames"),
        Row("age at send, median", statistics.median(settled), "ms", 40),
        Row("age at send, 95th percentile", float(np.percentile(settled, 95)), "ms"),
        Row("resident memory of live, largest", max(report.rss_mb), "MB", 700),
        Row("start to first pose, warm cache", report.start_s, "s", 4),
    ]


def soak(seconds: float) -> list[Row]:
    """Memory of a long run: growth from the second tenth, when all is loaded, to the last, medians."""
    rss = [sample for sample in observe_live(seconds, f"memory over {seconds / 60:g} min").rss_mb if sample > 0]
    tenth = max(1, len(rss) // 10)
    early, late = statistics.median(rss[tenth : 2 * tenth]), statistics.median(rss[-tenth:])
    return [Row(f"memory growth over {seconds / 60:g} min", late - early, "MB", 10, f"{early:.0f} MB to {late:.0f} MB")]
