"""Little data sets whose pictures say who is in them, and networks that know the answers."""

from __future__ import annotations

import base64
import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mocap.body.model import Body, load_body
from mocap.body.rotations import axis_angle_to_matrix
from tests.body.small_body import random_body
from tests.training.datasets.images.small_files import random_pose, save_npz
from training.published.evaluate_bodies import posed

N = 6  # people
V = 60  # vertices
SIDE = 16  # px of the networks' pictures
STEP = 30  # grey levels between one person's picture and the next one's
RNG = np.random.default_rng(0)
POSE = random_pose(N)  # (N, 72)
BETAS = RNG.normal(size=(N, 10))
NAMES = [f"imageFiles/{number}.png" for number in range(N)]
CENTER = np.tile([32.0, 24.0], (N, 1))
GENDERS = ["m", "f"] * (N // 2)
R = torch.from_numpy(axis_angle_to_matrix(POSE.reshape(N, 24, 3))).float()


class Oracle(nn.Module):
    """Reads off a picture who it is of, and gives what it was told of him.

    Args:
        answers: Of all people, (N, ...) each.
        form: What it makes of them: a dict, a named tuple, ...
    """

    def __init__(self, answers: dict[str, Tensor], form: Callable[[dict[str, Tensor]], Any] = dict) -> None:
        super().__init__()
        self.answers, self.form = answers, form
        self.asked: list[NDArray[np.int64]] = []

    def forward(self, pictures: Tensor) -> Any:
        """(..., 3, S, S); the middle's red tells."""
        middle = pictures[..., 0, SIDE // 2, SIDE // 2] * 255 * 0.229 + 255 * 0.485
        numbers = (middle / STEP).round().long()
        self.asked.append(numbers.numpy())
        return self.form({name: values[numbers] for name, values in self.answers.items()})


def grey(number: int) -> Image.Image:
    return Image.new("RGB", (64, 48), (STEP * number,) * 3)


def write_pictures(folder: Path, names: Sequence[str] = NAMES) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        grey(number).save(folder / name, "PNG" if name.endswith("png") else "JPEG", quality=100)


def write_smpl(folder: Path, seeds: tuple[int, int, int] = (0, 0, 0)) -> Path:
    """SMPL's three files, of the same body or of three."""
    for gender, seed in zip(("NEUTRAL", "MALE", "FEMALE"), seeds, strict=True):
        save_npz(folder / f"SMPL_{gender}.npz", random_body(V, seed=seed))
    return folder


def write_regressor(path: Path, rows: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).uniform(size=(rows, V)) ** 4
    array /= array.sum(1, keepdims=True)
    path.write_bytes(pickle.dumps(array, 2)) if path.suffix == ".pkl" else np.save(path, array)
    return path


def true_vertices(body: Body, pose: NDArray[Any] = POSE, betas: NDArray[Any] = BETAS) -> Tensor:
    """(N, V, 3) m."""
    rotations = torch.from_numpy(axis_angle_to_matrix(pose.reshape(len(pose), 24, 3))).float()
    return posed(body, rotations, torch.from_numpy(betas).float())


def neutral(folder: Path) -> Body:
    return load_body(folder, "neutral")


def with_confidence(points: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([points, np.ones_like(points[..., :1])], -1)


def write_4d_humans(path: Path, vertices: Tensor, J: NDArray[Any], **changes: Any) -> Path:
    """The evaluation file of 3DPW in 4D-Humans' fields."""
    write_pictures(path.parent)
    fields = {
        "imgname": NAMES, "center": CENTER, "scale": np.full(N, 20.0), "body_pose": POSE, "betas": BETAS,
        "has_body_pose": np.ones(N), "has_betas": np.ones(N), "gender": GENDERS,
        "body_keypoints_3d": np.zeros((N, 25, 4)), "extra_keypoints_3d": with_confidence(J @ vertices.numpy()),
    }  # fmt: skip
    return save_npz(path, {**fields, **changes})


def write_tokenhmr_emdb(path: Path, **changes: Any) -> Path:
    write_pictures(path.parent)
    fields = {
        "imgname": NAMES, "center": CENTER, "scale": np.tile([15.0, 20.0], (N, 1)) / 200, "body_pose": POSE,
        "betas": BETAS, "has_body_pose": np.ones(N), "has_betas": np.ones(N), "gender": GENDERS,
        "keypoints_2d": np.ones((N, 24, 3)),
    }  # fmt: skip
    return save_npz(path, {**fields, **changes})


def write_spin(path: Path, **changes: Any) -> Path:
    write_pictures(path.parent)
    fields = {
        "imgname": NAMES, "center": CENTER, "scale": np.full(N, 0.1), "pose": POSE, "shape": BETAS, "gender": GENDERS,
    }  # fmt: skip
    return save_npz(path, {**fields, **changes})


def write_joblib(path: Path, points: NDArray[Any], videos: Sequence[str], **changes: Any) -> Path:
    """INT's file; points (N, 49, 4)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pictures(path.parent)
    fields = {
        "vid_name": np.array(videos), "frame_id": np.arange(N), "img_name": np.array(NAMES), "pose": POSE,
        "shape": BETAS, "joints3D": points, "bbox": np.tile([32.0, 24, 20, 20], (N, 1)),
    }  # fmt: skip
    joblib.dump({**fields, **changes}, path)
    return path


def write_metro(folder: Path, points: NDArray[Any], name: str = "test", **changes: Any) -> Path:
    """METRO's TSV; points (N, 24, 4)."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [], []
    for number in range(N):
        stream = io.BytesIO()
        grey(number).save(stream, "PNG")
        images.append(f"k{number}\t{base64.b64encode(stream.getvalue()).decode()}\n")
        fields = {
            "center": [32.0, 24.0], "scale": 0.1, "2d_joints": np.zeros((24, 3)).tolist(),
            "3d_joints": points[number].tolist(), "pose": POSE[number].tolist(), "betas": BETAS[number].tolist(),
            "has_2d_joints": 0, "has_3d_joints": 1, "has_smpl": 1, "gender": "m", **changes,
        }  # fmt: skip
        labels.append(f"k{number}\t{json.dumps([fields])}\n")
    (folder / "img.tsv").write_text("".join(images))
    (folder / "label.tsv").write_text("".join(labels))
    (folder / f"{name}.yaml").write_text(yaml.dump({"img": "img.tsv", "label": "label.tsv"}))
    return folder / f"{name}.yaml"


def write_3dpw(folder: Path, valid: Sequence[int] = (1,) * N) -> Path:
    """The authors' pickle of one person, the world being the camera."""
    joints = RNG.normal([0, 0, 5], 0.1, (N, 24, 3))
    fields = {
        "sequence": "walk", "cam_intrinsics": np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]),
        "cam_poses": np.tile(np.eye(4), (N, 1, 1)), "poses": [POSE], "betas": [BETAS[0]], "genders": ["m"],
        "jointPositions": [joints.reshape(N, 72)], "poses2d": [np.ones((N, 3, 18))],
        "campose_valid": [np.array(valid)],
    }  # fmt: skip
    path = folder / "sequenceFiles" / "test" / "walk.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(fields))
    write_pictures(folder, [f"imageFiles/walk/image_{number:05d}.jpg" for number in range(N)])
    return path


def write_emdb(folder: Path, name: str, emdb1: bool) -> Path:
    """The authors' pickle of a sequence, the world being the camera."""
    fields = {
        "gender": "female", "name": name, "emdb1": np.bool_(emdb1), "good_frames_mask": np.ones(N, bool),
        "kp2d": np.ones((N, 24, 2)), "bboxes": {"bboxes": np.tile([22.0, 14, 42, 34], (N, 1)), "invalid_idxs": []},
        "camera": {"intrinsics": np.eye(3), "extrinsics": np.tile(np.eye(4), (N, 1, 1))},
        "smpl": {"poses_root": POSE[:, :3], "poses_body": POSE[:, 3:], "betas": BETAS[0]},
    }  # fmt: skip
    path = folder / "P0" / name / f"{name}_data.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(fields))
    write_pictures(path.parent, [f"images/{number:05d}.jpg" for number in range(N)])
    return path
