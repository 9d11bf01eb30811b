"""Reads ``.take`` files: finished ones, ones that are still being recorded, and ones that a killed process left."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError
from mocap.takes import schema
from mocap.types import Array, BodyPose, Camera, MocapFrame, Person, Roi

SINCE_START = "pose_t_capture - (SELECT t_capture FROM frames ORDER BY id LIMIT 1)"  # s


@dataclass(frozen=True)
class PersonMotion:
    """One person through a take: T frames in which they had a pose, in order of time of recording."""

    track_id: int
    frame: NDArray[np.int64]  # (T,) index of the source's frame
    t: NDArray[np.float64]  # (T,) s since the take's first frame
    R_parent_joint: Array  # (T, 24, 3, 3) parent from joint; entry 0: world from pelvis
    p_world_root: Array  # (T, 3) m
    betas: Array  # (T, 10)
    p_world_joint: Array  # (T, 24, 3) m
    confidence: Array  # (T, 24) in [0, 1]
    contact: Array  # (T, 2) left and right foot, in [0, 1]
    landmarks_px: Array  # (T, 33, 3) px, NaN where the person was posed but not seen
    visibility: Array  # (T, 33) in [0, 1], NaN likewise
    R_world_camera: Array  # (T, 3, 3)
    p_world_camera: Array  # (T, 3) m

    def __len__(self) -> int:
        return len(self.t)


class Take:
    """A take, opened for reading only.

    Args:
        path: The ``.take`` file; a ``-wal`` file beside it belongs to it.

    Raises:
        MocapError: The file is missing, is no take, or was written by a newer version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise MocapError(f"there is no take at {self.path}; expected a .take file written by mocap")
        # Read-only still reads, and if need be recovers, a write-ahead log, without changing either file.
        self._db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            self.metadata = self._read_metadata()
        except MocapError:
            self._db.close()
            raise

    @property
    def name(self) -> str:
        """The name that the take was given, or its file's."""
        return str(self.metadata.get("name") or self.path.stem)

    @property
    def fps(self) -> float:
        """The source's nominal frame rate; measured from the frames where the source had none."""
        nominal = self.metadata.get("fps")
        if nominal and math.isfinite(nominal) and nominal > 0:
            return float(nominal)
        return measured_fps(
            np.array([t for (t,) in self._rows("SELECT t_capture FROM frames ORDER BY id")], np.float64)
        )

    @property
    def num_frames(self) -> int:
        """Frames that are in the file, with people or without."""
        return int(next(self._rows("SELECT count(*) FROM frames"))[0])

    def people(self) -> list[int]:
        """Track ids of everybody with a pose, in ascending order."""
        sql = "SELECT DISTINCT track_id FROM people WHERE R_parent_joint IS NOT NULL ORDER BY track_id"
        return [track_id for (track_id,) in self._rows(sql)]

    def person(self, track_id: int) -> PersonMotion:
        """All frames of one person as arrays. Raises MocapError for an id that has no pose in this take."""
        seen = {name: schema.PERSON_ARRAYS[name] for name in ("landmarks_px", "visibility")}
        arrays = {**schema.POSE_ARRAYS, **seen, **schema.CAMERA_ARRAYS}
        sql = (
            f"SELECT frame_index, {SINCE_START}, {', '.join(arrays)} FROM people JOIN frames ON frames.id = frame_id"
            " WHERE track_id = ? AND R_parent_joint IS NOT NULL ORDER BY people.id"
        )
        columns = tuple(zip(*self._rows(sql, track_id), strict=True))
        if not columns:
            raise MocapError(f"{self.path} has no person {track_id}; it has {self.people() or 'nobody'}")
        frame, t, *blobs = columns
        return PersonMotion(
            track_id,
            np.array(frame, np.int64),
            np.array(t, np.float64),
            **{
                name: schema.unpack_column(column, shape)
                for (name, shape), column in zip(arrays.items(), blobs, strict=True)
            },
        )

    def frames(self) -> Iterator[MocapFrame]:
        """Everything, frame by frame, as it was recorded; holds one frame at a time."""
        columns = ", ".join([*(f"frames.{name}" for name in schema.FRAME_COLUMNS), *schema.PEOPLE_COLUMNS])
        sql = f"SELECT {columns} FROM frames LEFT JOIN people ON frame_id = frames.id ORDER BY frames.id, people.id"
        split = len(schema.FRAME_COLUMNS)
        for _, rows in groupby(self._rows(sql), key=lambda row: row[0]):
            group = list(rows)
            people = [dict(zip(schema.PEOPLE_COLUMNS, row[split:], strict=True)) for row in group]
            yield _frame(dict(zip(schema.FRAME_COLUMNS, group[0][:split], strict=True)), people)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Take:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, sql: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(sql, parameters)
        except sqlite3.Error as error:
            raise MocapError(f"{self.path} is damaged: {error}; try: sqlite3 {self.path} .recover") from error

    def _read_metadata(self) -> dict[str, Any]:
        try:
            values = {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM metadata")}
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):  # locked, or a log that cannot be read from a read-only folder
                raise MocapError(
                    f"cannot open {self.path}: {error}; copy it, with any -wal file beside it, to a folder of yours"
                ) from error
            raise MocapError(f"{self.path} is not a take: expected a file recorded by mocap ({error})") from error
        except (sqlite3.Error, ValueError) as error:
            raise MocapError(f"{self.path} is not a take: expected a file recorded by mocap ({error})") from error
        found = values.get("schema_version")
        if found != schema.SCHEMA_VERSION:
            raise MocapError(
                f"{self.path} has take format {found}; this mocap reads {schema.SCHEMA_VERSION}. In a newer checkout"
                " of mocap: pip install -e ."
            )
        return values


def measured_fps(t: NDArray[np.float64]) -> float:
    """Frame rate from the times of frames (T,) s: the median step; 30 where nothing can be measured."""
    steps = np.diff(t)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(1 / np.median(steps)) if len(steps) else 30.0


def _number(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return math.nan if value is None else float(value)


def _frame(row: dict[str, Any], people: list[dict[str, Any]]) -> MocapFrame:
    place = _arrays(row, schema.CAMERA_ARRAYS)
    size, focal_px = (row["width"], row["height"]), _number(row["focal_px"])
    camera = Camera(*size, focal_px, place["R_world_camera"], place["p_world_camera"])
    return MocapFrame(
        frame_index=row["frame_index"],
        t_capture=_number(row["t_capture"]),
        camera=camera,
        persons=tuple(_person(person) for person in people if person["landmarks_px"] is not None),
        poses=tuple(_pose(person) for person in people if person["R_parent_joint"] is not None),
        stage_ms=json.loads(row["stage_ms"]),
        age_ms=_number(row["age_ms"]),
    )


def _pose(row: dict[str, Any]) -> BodyPose:
    return BodyPose(row["track_id"], _number(row["pose_t_capture"]), **_arrays(row, schema.POSE_ARRAYS))


def _person(row: dict[str, Any]) -> Person:
    roi = Roi((_number(row["roi_x"]), _number(row["roi_y"])), _number(row["roi_size"]), _number(row["roi_rotation"]))
    return Person(row["track_id"], roi, _number(row["score"]), **_arrays(row, schema.PERSON_ARRAYS))


def _arrays(row: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    return {name: schema.unpack(row[name], shape) for name, shape in shapes.items()}
