"""What a ``.take`` file holds: SQLite tables that the recorder writes and the reader reads.

Arrays are blobs of little-endian float32 in C order. A person who was tracked but not posed has NULL pose columns, and
the other way round.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mocap.body.skeleton import NUM_BETAS, NUM_JOINTS
from mocap.types import Array

SCHEMA_VERSION = 1
FLOAT32 = np.dtype("<f4")

CAMERA_ARRAYS: dict[str, tuple[int, ...]] = {"R_world_camera": (3, 3), "p_world_camera": (3,)}
POSE_ARRAYS: dict[str, tuple[int, ...]] = {
    "R_parent_joint": (NUM_JOINTS, 3, 3),
    "p_world_root": (3,),
    "betas": (NUM_BETAS,),
    "p_world_joint": (NUM_JOINTS, 3),
    "confidence": (NUM_JOINTS,),
    "contact": (2,),
}
PERSON_ARRAYS: dict[str, tuple[int, ...]] = {"landmarks_px": (33, 3), "landmarks_world": (33, 3), "visibility": (33,)}

CAMERA_COLUMNS = ("width", "height", "focal_px", *CAMERA_ARRAYS)
FRAME_COLUMNS = ("id", "frame_index", "t_capture", "age_ms", "stage_ms", *CAMERA_COLUMNS)
POSE_COLUMNS = ("pose_t_capture", *POSE_ARRAYS)
PERSON_COLUMNS = ("roi_x", "roi_y", "roi_size", "roi_rotation", "score", *PERSON_ARRAYS)
PEOPLE_COLUMNS = ("frame_id", "track_id", *POSE_COLUMNS, *PERSON_COLUMNS)

# The frame's own index is no key: a camera that comes back may count from zero, and its frames are kept all the same.
CREATE_TABLES = f"""
CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY, frame_index INTEGER NOT NULL, t_capture REAL, age_ms REAL, stage_ms TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, focal_px REAL, R_world_camera BLOB, p_world_camera BLOB
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY, frame_id INTEGER NOT NULL REFERENCES frames(id), track_id INTEGER NOT NULL,
    pose_t_capture REAL, {", ".join(f"{name} BLOB" for name in POSE_ARRAYS)},
    roi_x REAL, roi_y REAL, roi_size REAL, roi_rotation REAL, score REAL,
    {", ".join(f"{name} BLOB" for name in PERSON_ARRAYS)}
);
CREATE INDEX people_by_track ON people (track_id, id);
CREATE INDEX people_by_frame ON people (frame_id, id);
"""


def insert_sql(table: str, columns: tuple[str, ...]) -> str:
    """``INSERT`` of one row with a place for each column."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def pack(value: ArrayLike, shape: tuple[int, ...]) -> bytes:
    """An array of this shape as a blob. Raises ``ValueError`` for any other shape."""
    array = np.asarray(value, dtype=FLOAT32)
    if array.shape != shape:
        raise ValueError(f"expected an array of shape {shape}, got {array.shape}")
    return array.tobytes()


def unpack(blob: bytes, shape: tuple[int, ...]) -> Array:
    """Inverse of :func:`pack`: a read-only view of the blob."""
    return np.frombuffer(blob, FLOAT32).reshape(shape)


def unpack_column(blobs: tuple[bytes | None, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Blobs of T rows -> (T, *shape), NaN where a row has none."""
    missing = np.full(prod(shape), np.nan, FLOAT32).tobytes()
    return np.frombuffer(b"".join(blob or missing for blob in blobs), FLOAT32).reshape(len(blobs), *shape)
