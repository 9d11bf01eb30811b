"""`mocap live` and `mocap file`: open everything, run the loop, close everything, say where things are."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from mocap.cli.status import StatusLine
from mocap.cli.stop import StopFlag
from mocap.config import DrawStyle, ExportFormat, FileConfig, LiveConfig
from mocap.errors import MocapError
from mocap.pipeline import Output, Pipeline, run
from mocap.sinks import Sink, open_sinks
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
        self._started = time.perf_counter()

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
        minutes, seconds = divmod(int(time.perf_counter() - self._started), 60)
        return "NOT RECORDING" if self.error else f"rec {minutes}:{seconds:02d}"


def live(config: LiveConfig) -> int:
    """Camera in, poses out. Returns the exit code."""
    with ExitStack() as stack:
        stop = stack.enter_context(StopFlag(config.duration))
        source = stack.enter_context(open_live(config.camera, config, loop=config.loop))
        recording = _capture(stack, source, config, stop, name=config.name if config.record else None)
    return _finish(recording, config.export, Path(config.out)) if recording else 0


def file(video: str, config: FileConfig) -> int:
    """Video or pictures in, a take and its exports out. Returns the exit code: 1 when it was stopped before its end."""
    with ExitStack() as stack:
        stop = stack.enter_context(StopFlag())
        source = stack.enter_context(open_file(video, mirror=config.mirror, fps=config.fps))
        overlay = _open_overlay(stack, video, config.overlay, config.overlay_style) if config.overlay else None
        recording = _capture(stack, source, config, stop, name=Path(video).stem, overlay=overlay)
    if config.overlay:
        print(f"overlay   {config.overlay}")
    code = _finish(recording, config.export, Path(config.out)) if recording else 0
    if stop.was_asked:
        log.warning("stopped before the end of %s: the take holds what was captured until then", video)
        return 1
    return code


def _capture(
    stack: ExitStack,
    source: Source,
    config: LiveConfig | FileConfig,
    stop: StopFlag,
    *,
    name: str | None,
    overlay: OverlayWriter | None = None,
) -> Recording | None:
    """Open what is between source and outputs, then run. The recorder comes last, so that nothing that fails to open
    leaves an empty take, and so that it is closed first."""
    sinks = [stack.enter_context(sink) for sink in open_sinks(config, on=source.live)]
    preview = stack.enter_context(contextlib.closing(Preview(config.preview_style))) if config.preview else None
    pipeline = Pipeline(config, config.lookahead if isinstance(config, FileConfig) else 0)
    recording = _open_recording(stack, source, config, name) if name is not None else None
    status = _open_status(stack, source, pipeline, recording)
    outputs: list[Output] = [_send_to(sink.send) for sink in sinks]
    outputs += [output for output in (recording, overlay, preview, status) if output is not None]

    def while_waiting() -> None:
        for sink in sinks:
            sink.tick()
        status.tick()
        if preview:
            preview.tick()

    stop.start()
    run(source, pipeline, outputs, lambda: stop() or (preview is not None and preview.closed), while_waiting)
    _say_what_was_lost(pipeline, sinks)
    return recording


def _open_status(stack: ExitStack, source: Source, pipeline: Pipeline, recording: Recording | None) -> StatusLine:
    dropped_while_opening = source.dropped
    status = StatusLine(
        dropped=lambda: source.dropped - dropped_while_opening,
        held=lambda: pipeline.tracker.nan_frames,
        recording=lambda: str(recording) if recording else "not recording",
        floor=lambda: "" if pipeline.motion.calibrated else "floor: stand still 2 s",
        duration_s=source.duration_s if isinstance(source, VideoFile) else None,
    )
    return stack.enter_context(contextlib.closing(status))


def _say_what_was_lost(pipeline: Pipeline, sinks: list[Sink]) -> None:
    if pipeline.tracker.nan_frames:
        log.warning("in %d frames a pose was held because a network gave NaN", pipeline.tracker.nan_frames)
    for sink in sinks:
        if sink.errors or sink.held:
            log.info("%s: %d packets found no receiver, %d values were held", sink, sink.errors, sink.held)


def _send_to(send: Callable[[MocapFrame], None]) -> Output:
    return lambda frame, result: send(result)


def _open_overlay(stack: ExitStack, video: str, name: str, style: DrawStyle) -> OverlayWriter:
    path = Path(name)
    if path.exists() and Path(video).exists() and path.samefile(video):
        raise MocapError(f"the overlay {name} is the video itself and would overwrite it; name another file")
    return stack.enter_context(OverlayWriter(path, style))


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
