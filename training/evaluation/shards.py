"""Synthetic people whose truth is exact: the shards of ``training.synthesize``, and the shipped demo clips."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mocap.errors import MocapError
from mocap.models.token_capture import UNKNOWN_PITCH
from training.evaluation.mediapipe_filter import smoothed
from training.evaluation.track import Array, Points, Track
from training.evaluation.truth import Clip, TrueBody, Truth, planted_feet, surface_points
from training.evaluation.watching import RAW, SMOOTHED, View, watch_blazepose, watch_mediapipe

log = logging.getLogger(__name__)
CLIP_FPS = 30.0
_NEEDED = ("R", "betas", "p_camera_joint", "size_px", "focal_px", "R_camera_world", "p_world_camera",
           "landmarks_px", "landmarks_world", "visibility", "roi", "score", "features")  # fmt: skip


def shard_clips(folder: Path, limit: int = 0, with_pitch: bool = True) -> Iterator[Clip]:
    """The clips of all shards of a folder, or the first ``limit`` of them; a clip of unrelated frames has one frame.

    ``with_pitch``: systems are told how far the camera looks down, as they are after calibration.

    Raises:
        MocapError: there are none, or they are of another making.
    """
    count = 0
    for file in shard_files(folder):
        frames = clip_frames(file)
        with np.load(file) as shard:
            missing = [name for name in _NEEDED if name not in shard.files]
            if missing:
                raise MocapError(f"{file}: expected a shard of training.synthesize, found no {', '.join(missing)}")
            arrays = {name: np.asarray(shard[name], np.float64) for name in _NEEDED}
        for start in range(0, len(arrays["R"]) - frames + 1, frames):
            part = {name: value[start : start + frames] for name, value in arrays.items()}
            yield clip_of(f"{file.stem}/{start // frames}", part, with_pitch)
            count += 1
            if limit and count >= limit:
                return


def shard_files(folder: Path) -> list[Path]:
    """The shards of a folder, in their order.

    Raises:
        MocapError: there are none.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise MocapError(
            f"{folder}: expected shards (.npz), found none. Make them: "
            f"python -m training.synthesize --split test --output {folder}"
        )
    return files


def clip_frames(file: Path) -> int:
    """Frames of each clip of a shard, by its name: ``<split>_<seed>_<shard>_<clip frames>_<number>.npz``.

    Raises:
        MocapError: it has another name.
    """
    parts = file.stem.split("_")
    if len(parts) < 2 or not parts[-2].isdigit() or int(parts[-2]) < 1:
        raise MocapError(
            f"{file}: expected a name like test_0_1000_64_00000.npz that says how long clips are, found {file.name}; "
            "make shards again: python -m training.synthesize"
        )
    return int(parts[-2])


def clip_of(name: str, arrays: Mapping[str, Array], with_pitch: bool = True) -> Clip:
    """A clip from a shard's rows (T, ...), which are one camera's.

    MediaPipe did not see these pictures, and the shards keep none. Its columns are our own landmark network, which is
    the same network with the same tracking, and that through MediaPipe's own smoothing.
    """
    R_camera_world, count = arrays["R_camera_world"], len(arrays["R"])
    t = np.arange(count) / CLIP_FPS
    pitch = float(np.arcsin(np.clip(-R_camera_world[0, 2, 1], -1, 1))) if with_pitch else UNKNOWN_PITCH
    size = int(arrays["size_px"][0, 0]), int(arrays["size_px"][0, 1])
    seen = (arrays[key] for key in ("landmarks_px", "landmarks_world", "visibility", "roi", "score", "features"))
    track = Track(name, t, size, float(arrays["focal_px"][0]), pitch, *seen)
    joints = arrays["p_camera_joint"]
    in_world = joints @ R_camera_world + arrays["p_world_camera"][:, None]
    R_world_camera = np.swapaxes(R_camera_world, -1, -2)
    planted = planted_feet(in_world, 1 / CLIP_FPS)
    body = TrueBody.of(arrays["R"], arrays["betas"], joints, R_world_camera, planted)
    points = surface_points(body.R_parent_joint, body.betas, joints[:, 0])
    return Clip(track, Truth.of(track, points, body=body), stand_ins(track))


def stand_ins(track: Track) -> dict[str, Points]:
    """MediaPipe's columns where it saw no picture: what our own network saw, and MediaPipe's smoothing of it."""
    world = np.where(track.seen[:, None, None], track.landmarks_world, np.nan)
    return {RAW: Points(world), SMOOTHED: Points(smoothed(world, track.t))}


def demo_clip(video: Path, cache: Path | None = None) -> Clip:
    """A clip of ``training.make_demo``: its first person, with the exact truth, as our tracker and MediaPipe see it.

    Raises:
        MocapError: it is not there.
    """
    if not (video.is_file() and video.with_suffix(".npz").is_file()):
        raise MocapError(
            f"{video}: expected a video with its truth (.npz) beside it, found none; the shipped one is "
            "mocap/assets/demo.mp4, and python -m training.make_demo makes it"
        )
    with np.load(video.with_suffix(".npz")) as file:
        truth = {name: np.asarray(file[name], np.float64) for name in file.files}
    view = View(video.stem, video, float(truth["focal_px"]))
    track, given = watch_blazepose(view, cache), watch_mediapipe(view, cache)
    if len(track) != len(truth["t"]):
        raise MocapError(f"{video}: expected {len(truth['t'])} frames, as its truth has, found {len(track)}")
    camera = truth["R_world_camera"], truth["p_world_camera"]
    points = (truth["landmarks_world_true"][0] - camera[1]) @ camera[0]
    R_world_camera = np.broadcast_to(camera[0], (len(track), 3, 3))
    betas = np.broadcast_to(truth["betas"][0], (len(track), 10))
    planted = truth["contact"][0] > 0.5
    body = TrueBody.of(truth["R_parent_joint"][0], betas, truth["joints_camera"][0], R_world_camera, planted)
    return Clip(track, Truth.of(track, points, body=body), given)
