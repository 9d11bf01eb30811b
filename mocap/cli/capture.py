"""`mocap live` and `mocap file`: open everything, run the loop, close everything, say where things are."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from mocap.cli.status import StatusLine
from mocap.config import ExportFormat, FileConfig, LiveConfig
from mocap.errors import MocapError
from mocap.pipeline import Output, Pipeline, run
from mocap.sinks import open_sinks
from mocap.sources import Source, VideoFile, open_file, open_live
from mocap.takes.export import export_take
from mocap.takes.reader import Take
from mocap.takes.recorder import TakeRecorder, default_take_path
from mocap.types import Frame, MocapFrame
from mocap.viewer.overlay import OverlayWriter
from mocap.viewer.preview import Preview

log = logging.getLogger(__name__)


class Recording:
    """A take recorder that does not stop a live stream when the disk fails: it says so once and stays off.

    What was written up to then is kept; ``error`` makes the command exit with 1 at its end.
    """

    def __init__(self, recorder: TakeRecorder, *, fail_at_once: bool) -> None:
        self.recorder = recorder
        self.error: MocapError | None = None
        self._fail_at_once = fail_at_once

    def __call__(self, frame: Frame, result: MocapFrame) -> None:
        if self.error is None:
            with self._guard():
                self.recorder.write(result)

    def close(self) -> None:
        if self.error is None:
            with self._guard():
                self.recorder.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except MocapError as error:
            self.error = error
            with contextlib.suppress(MocapError):  # it is this error again
                self.recorder.close()
            if self._fail_at_once:
                raise
            log.error("%s; capture goes on without recording", error)

    def __str__(self) -> str:
        return "NOT RECORDING" if self.error else f"rec {self.recorder.path.name}"


def live(config: LiveConfig) -> int:
    """Camera in, poses out. Returns the exit code."""
    stop = StopFlag(config.duration)
    with ExitStack() as stack:
        stack.enter_context(stop)
        source = stack.enter_context(open_live(config.camera, config, loop=config.loop))
        recording = _open_recording(stack, source, config, config.name) if config.record else None
        _capture(stack, source, config, recording, stop, sinks_by_default=True)
    if recording is None:
        return 0
    return _finish(recording, config.export, Path(config.out))


def file(video: str, config: FileConfig) -> int:
    """Video or pictures in, a take and its exports out. Returns the exit code."""
    stop = StopFlag()
    with ExitStack() as stack:
        stack.enter_context(stop)
        source = stack.enter_context(open_file(video, mirror=config.mirror, fps=config.fps))
        recording = _open_recording(stack, source, config, Path(video).stem)
        overlay = OverlayWriter(Path(config.overlay)) if config.overlay else None
        if overlay:
            stack.callback(overlay.close)
        _capture(stack, source, config, recording, stop, sinks_by_default=False, overlay=overlay)
    if config.overlay:
        print(f"overlay   {config.overlay}")
    return _finish(recording, config.export, Path(config.out))


def _capture(
    stack: ExitStack,
    source: Source,
    config: LiveConfig | FileConfig,
    recording: Recording | None,
    stop: StopFlag,
    *,
    sinks_by_default: bool,
    overlay: OverlayWriter | None = None,
) -> None:
    sinks = [stack.enter_context(contextlib.closing(sink)) for sink in open_sinks(config, on=sinks_by_default)]
    preview = stack.enter_context(contextlib.closing(Preview())) if config.preview else None
    pipeline = Pipeline(config, source.focal_px)
    status = stack.enter_context(
        contextlib.closing(
            StatusLine(
                dropped=lambda: source.dropped,
                held=lambda: pipeline.tracker.nan_frames,
                recording=lambda: str(recording) if recording else "not recording",
                duration_s=source.duration_s if isinstance(source, VideoFile) else None,
            )
        )
    )
    outputs: list[Output] = [_send_to(sink.send) for sink in sinks]
    outputs += [output for output in (recording, overlay, preview, status) if output is not None]
    run(source, pipeline, outputs, lambda: stop() or (preview is not None and preview.closed))
    if pipeline.tracker.nan_frames:
        log.warning("%d poses were held because the network gave NaN", pipeline.tracker.nan_frames)


def _send_to(send: Callable[[MocapFrame], None]) -> Output:
    return lambda frame, result: send(result)


def _open_recording(stack: ExitStack, source: Source, config: LiveConfig | FileConfig, name: str) -> Recording:
    meta = {
        "name": name,
        "source": source.name,
        "fps": source.fps,
        "config": asdict(config),
        "versions": {package: importlib.metadata.version(package) for package in ("mocap", "mediapipe", "numpy")},
    }
    recorder = TakeRecorder(default_take_path(Path(config.out), name), meta)
    recording = Recording(recorder, fail_at_once=not source.live)
    stack.callback(recording.close)
    return recording


def _finish(recording: Recording, formats: list[ExportFormat], out: Path) -> int:
    path = recording.recorder.path
    print(f"take      {path}")
    if formats:
        with Take(path) as take:
            for exported in export_take(take, formats, out):
                print(f"exported  {exported}")
    return 1 if recording.error else 0


class StopFlag:
    """True after Ctrl-C, SIGTERM or the given seconds. A second Ctrl-C interrupts at once."""

    def __init__(self, duration_s: float | None = None) -> None:
        self._event = threading.Event()
        self._duration_s = duration_s
        self._deadline: float | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, stack_frame: object) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._deadline is None and self._duration_s is not None:
            self._deadline = now + self._duration_s  # counts from the first look, after everything was opened
        return self._event.is_set() or (self._deadline is not None and now >= self._deadline)
