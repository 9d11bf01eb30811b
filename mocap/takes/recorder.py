"""Records a session into one ``.take`` file, from a thread of its own, and loses nothing that it was given."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import platform
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from importlib import metadata as package_metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from mocap.errors import MocapError
from mocap.takes import schema
from mocap.types import BodyPose, MocapFrame, Person

log = logging.getLogger(__name__)

# A commit is a batch plus the disk's fsync; half of the 0.5 s that a kill may cost is left for the fsync.
COMMIT_S = 0.25
BACKLOG_FRAMES = 256  # about 8 s of a 30 fps camera: a healthy disk never has more than a batch waiting
BUSY_S = 1.0  # how long another program may hold the file before the batch is tried again

Row = tuple[Any, ...]
PackedFrame = tuple[Row, list[Row]]  # a row of `frames`, and the rows of `people` that belong to it


def default_take_path(folder: Path | str, name: str = "") -> Path:
    """``<folder>/<date>_<time>_<name>.take`` in local time; characters that some file system refuses become ``-``."""
    slug = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "take"
    return Path(folder) / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{slug}.take"


class TakeRecorder:
    """Writes every frame into a SQLite file, in batches that are committed at least every half second.

    ``write`` only packs and queues, in microseconds. When the disk cannot keep up, the backlog grows in memory (about
    3 KB a person and frame), a warning says so, and nothing is lost. A killed process loses at most the last half
    second, and the file that it leaves opens.

    Args:
        path: Where the take goes. Its folder is made. A file that exists is never overwritten: ``-2``, ``-3`` … is
            added to the name; ``self.path`` is the file that is written.
        meta: ``name``, ``fps`` (nominal, or None), ``source``, ``camera``, ``config``, ``versions`` and whatever else
            is worth keeping: anything that JSON holds, dataclasses and paths.

    Raises:
        MocapError: The place cannot be written.
    """

    def __init__(self, path: Path | str, meta: Mapping[str, Any]) -> None:
        self.path = _claim(Path(path))
        self._queue: queue.SimpleQueue[PackedFrame | None] = queue.SimpleQueue()  # None closes
        self._pending: list[PackedFrame] = []  # taken from the queue, not yet committed
        self._next_id = 1
        self._num_committed = 0
        self._t_first = self._t_last = 0.0  # s, of the committed frames
        self._behind = False
        self._closed = False
        self._failure: Exception | None = None
        try:
            self._db = _create(self.path, meta)
        except (sqlite3.Error, OSError) as error:
            self.path.unlink(missing_ok=True)
            raise MocapError(f"cannot start a take at {self.path}: {error}; choose another folder") from error
        self._thread = threading.Thread(target=self._run, name="take-recorder", daemon=True)
        self._thread.start()

    @property
    def num_committed(self) -> int:
        """Frames that are safe in the file."""
        return self._num_committed

    def write(self, frame: MocapFrame) -> None:
        """Queue one frame, with or without people. Its arrays are copied: the caller may reuse them.

        Raises:
            MocapError: The writer has failed (disk full, file gone); says what is kept and where.
            ValueError: An array has the wrong shape, or the recorder is closed.
        """
        if self._closed:
            raise ValueError(f"the take {self.path} is closed")
        self._queue.put(pack_frame(self._next_id, frame))
        self._next_id += 1
        if self._failure is not None:
            raise self._error()
        self._report_backlog(self._queue.qsize())

    def close(self) -> None:
        """Commit what waits, fold the write-ahead log into the one file, and let go of it.

        Raises:
            MocapError: Not everything could be written; says what is kept and where.
        """
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            self._try_again()
        if self._failure is None:
            self._fold_log()
        self._db.close()
        if self._failure is not None:
            raise self._error()

    def __enter__(self) -> TakeRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        """The writer thread: gather a batch, commit it, until closed or failed."""
        try:
            closing = False
            while not closing:
                closing = self._gather(time.monotonic() + COMMIT_S)
                self._commit(last=closing)
        except Exception as error:  # whatever it is, the next write or close raises it: a silent writer loses takes
            log.error("recording to %s stopped: %s", self.path, error)
            self._failure = error

    def _gather(self, deadline: float) -> bool:
        """Move what is queued into the batch until the deadline; True when the recorder is closing."""
        while (wait := deadline - time.monotonic()) > 0:
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                return False
            if item is None:
                return True
            self._pending.append(item)
        return False

    def _commit(self, last: bool) -> None:
        """One transaction with the whole batch, which stays in memory until it is safe."""
        if not self._pending:
            return
        try:
            with self._db:
                self._db.executemany(
                    schema.insert_sql("frames", schema.FRAME_COLUMNS), [frame for frame, _ in self._pending]
                )
                self._db.executemany(
                    schema.insert_sql("people", schema.PEOPLE_COLUMNS),
                    [person for _, people in self._pending for person in people],
                )
        except sqlite3.OperationalError as error:
            if last or "locked" not in str(error):
                raise
            log.warning("another program holds %s; %d frames wait in memory", self.path, len(self._pending))
            return
        if self._num_committed == 0:
            self._t_first = self._pending[0][0][2]
        self._t_last = self._pending[-1][0][2]
        self._num_committed += len(self._pending)
        self._pending.clear()

    def _try_again(self) -> None:
        """After a failure: one last attempt with all that is still in memory; space may have been freed meanwhile."""
        self._drain()
        try:
            self._commit(last=True)
        except (sqlite3.Error, OSError) as error:
            self._failure = error
        else:
            log.warning("%s could be written after all; it holds every frame", self.path)
            self._failure = None

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if item is not None:
                    self._pending.append(item)

    def _fold_log(self) -> None:
        """One file remains. SQLite fsyncs the database when it checkpoints (synchronous=FULL) and again here."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:  # a reader has the take open, or no space to copy: the log keeps the frames
            log.warning("%s stays in two files, keep %s-wal beside it: %s", self.path, self.path.name, error)

    def _report_backlog(self, waiting: int) -> None:
        if waiting > BACKLOG_FRAMES and not self._behind:
            self._behind = True
            log.warning(
                "the disk cannot keep up with %s: %d frames wait in memory; nothing is lost", self.path, waiting
            )
        elif waiting < BACKLOG_FRAMES // 2 and self._behind:
            self._behind = False
            log.warning("%s has caught up", self.path)

    def _error(self) -> MocapError:
        """What happened, what is kept, what to do."""
        kept = self._num_committed
        lost = self._next_id - 1 - kept
        remedy = "Free some disk space, then" if "full" in str(self._failure) else "Next"
        return MocapError(
            f"recording stopped: {self._failure}. {kept} frames ({self._t_last - self._t_first:.1f} s) are kept in"
            f" {self.path}, {lost} after them are not. {remedy}: mocap export {self.path} --to npz bvh"
        )


def pack_frame(frame_id: int, frame: MocapFrame) -> PackedFrame:
    """A frame as rows for the tables of :mod:`mocap.takes.schema`."""
    camera = frame.camera
    row = (
        frame_id, int(frame.frame_index), float(frame.t_capture), float(frame.age_ms),
        json.dumps({stage: float(ms) for stage, ms in frame.stage_ms.items()}),
        int(camera.width), int(camera.height), float(camera.focal_px),
        *(schema.pack(getattr(camera, name), shape) for name, shape in schema.CAMERA_ARRAYS.items()),
    )  # fmt: skip
    poses = {pose.track_id: pose for pose in frame.poses}
    persons = {person.track_id: person for person in frame.persons}
    people: list[Row] = [
        (frame_id, int(track_id), *_pack_pose(poses.get(track_id)), *_pack_person(persons.get(track_id)))
        for track_id in {**persons, **poses}
    ]
    return row, people


def _pack_pose(pose: BodyPose | None) -> Row:
    if pose is None:
        return (None,) * len(schema.POSE_COLUMNS)
    arrays = (schema.pack(getattr(pose, name), shape) for name, shape in schema.POSE_ARRAYS.items())
    return (float(pose.t_capture), *arrays)


def _pack_person(person: Person | None) -> Row:
    if person is None:
        return (None,) * len(schema.PERSON_COLUMNS)
    roi = person.roi
    numbers = (*roi.center_px, roi.size_px, roi.rotation, person.score)
    arrays = (schema.pack(getattr(person, name), shape) for name, shape in schema.PERSON_ARRAYS.items())
    return (*map(float, numbers), *arrays)


def _claim(path: Path) -> Path:
    """Make an empty file that was not there before, in a folder that is made if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        candidate, number = path, 2
        while True:
            try:
                # The log of a take that lost its file would be taken for this one's, and deleted.
                if not candidate.with_name(candidate.name + "-wal").exists():
                    candidate.open("xb").close()
                    return candidate
            except FileExistsError:
                pass  # the next number is tried
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
            number += 1
    except OSError as error:
        raise MocapError(f"cannot write a take to {path}: {error.strerror or error}; choose another folder") from error


def _create(path: Path, meta: Mapping[str, Any]) -> sqlite3.Connection:
    """An empty take with its metadata, committed: from here on, whatever happens, the file opens."""
    values = {
        "versions": _versions(),
        **meta,
        "schema_version": schema.SCHEMA_VERSION,
        "created": datetime.now().astimezone().isoformat(timespec="milliseconds"),
    }
    rows = [(key, json.dumps(value, default=_jsonable)) for key, value in values.items()]
    db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    try:
        db.execute("PRAGMA page_size=16384")  # a person and frame is 2.3 KB: one to a default page, seven to this one
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")  # each commit reaches the disk: a power cut costs no more than a kill
        with db:
            db.executescript("BEGIN;" + schema.CREATE_TABLES)
            db.executemany(schema.insert_sql("metadata", ("key", "value")), rows)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _versions() -> dict[str, str]:
    try:
        version = package_metadata.version("mocap")
    except package_metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = "unknown"
    return {"mocap": version, "python": platform.python_version(), "platform": platform.platform()}


def _jsonable(value: Any) -> Any:
    """JSON for what a configuration may hold besides plain values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value.tolist() if hasattr(value, "tolist") else str(value)
