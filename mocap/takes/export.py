"""A take becomes files for other programs: one file per person and format."""

from __future__ import annotations

import dataclasses
import errno
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mocap.body.skeleton import NUM_JOINTS, Skeleton, load_skeleton
from mocap.errors import MocapError
from mocap.takes.bvh import Unit, write_bvh
from mocap.takes.npz import amass_arrays, write_npz
from mocap.takes.reader import PersonMotion, Take

log = logging.getLogger(__name__)

FORMATS = ("npz", "bvh")
NO_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # disk, file size, quota


def export_take(
    take: Take,
    formats: Sequence[str],
    out_dir: Path | str | None = None,
    *,
    bvh_unit: Unit = "m",
    skeleton: Skeleton | None = None,
) -> list[Path]:
    """Write ``<take>_person<id>.<format>`` for everybody in a take; files of an earlier export are replaced.

    Args:
        take: An open take, finished or not; it stays open.
        formats: Some of ``npz`` (see :func:`mocap.takes.npz.amass_arrays`) and ``bvh`` (:mod:`mocap.takes.bvh`).
        out_dir: Where the files go; made if need be. Beside the take when not given.
        bvh_unit: Length unit of BVH files: ``m`` or ``cm``.
        skeleton: The body that the take's betas belong to; the shipped one when not given.

    Returns:
        The files that were written.

    Raises:
        MocapError: Nobody in the take, a format that does not exist, a folder that cannot be written, or a full disk;
            no unfinished file is left.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise MocapError(f"cannot export to {', '.join(unknown) or 'nothing'}; the formats are: {', '.join(FORMATS)}")
    body = skeleton or load_skeleton()
    people = take.people()
    if not people:
        raise MocapError(f"{take.path} holds {take.num_frames} frames and nobody in them: nothing to export")
    folder = Path(out_dir) if out_dir is not None else take.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for track_id in people for path in _export(take, track_id, formats, folder, bvh_unit, body)]
    except OSError as error:
        reason = error.strerror or error
        remedy = "free some space or choose" if error.errno in NO_SPACE else "choose"
        raise MocapError(f"cannot export to {folder}: {reason}; {remedy} another folder with --out") from error


def _export(
    take: Take, track_id: int, formats: Sequence[str], folder: Path, unit: Unit, skeleton: Skeleton
) -> Iterator[Path]:
    motion = _finite(take.person(track_id))
    if not len(motion):
        log.warning("%s: person %d has no usable frame and is left out", take.path, track_id)
        return
    arrays = amass_arrays(motion, skeleton, take.fps)
    for name in dict.fromkeys(formats):
        path = folder / f"{take.path.stem}_person{track_id}.{name}"
        part = path.with_name(path.name + ".part")  # whoever finds the file finds all of it
        try:
            if name == "npz":
                write_npz(part, arrays)
            else:
                poses, pelvis = arrays["poses"].reshape(-1, NUM_JOINTS, 3), arrays["joints"][:, 0]
                write_bvh(part, poses, pelvis, motion.t, arrays["rest_joints"], take.fps, unit)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        yield path


def _finite(motion: PersonMotion) -> PersonMotion:
    """Without the rows in which the pose or its time is not a number."""
    checked = (motion.R_parent_joint, motion.p_world_root, motion.betas, motion.t)
    good = np.all([np.isfinite(array.reshape(len(motion), -1)).all(1) for array in checked], axis=0)
    if good.all():
        return motion
    log.warning("person %d: %d frames without a finite pose are left out", motion.track_id, int((~good).sum()))
    rows = {
        field.name: getattr(motion, field.name)[good]
        for field in dataclasses.fields(motion)
        if field.name != "track_id"
    }
    return dataclasses.replace(motion, **rows)
