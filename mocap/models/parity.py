"""What engines are compared on when they are built: views of the demo clip, and joint errors in millimetres."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

import engines
from engines.parity import judge
from mocap.assets import asset_path
from mocap.body.skeleton import NUM_JOINTS, load_skeleton
from mocap.models import blazepose, token_capture
from mocap.models.image_regressor import frame_from_square, square_around
from mocap.people.detection import letterbox
from mocap.people.landmarks import in_frame
from mocap.people.picture import Picture
from mocap.people.roi import CROP_SIZE, frame_from_crop, roi_from_points
from mocap.people.track import person_of
from mocap.sources.video import VideoFile
from mocap.types import Array, Camera, Frame, Person, Roi

CLIP, FRAMES = "demo", range(0, 250, 50)
LIMIT_MM = 1.0  # by which joints may move below float32


@dataclass(frozen=True)
class View:
    """A frame of the demo clip and the square around the person in it."""

    frame: Frame
    roi: Roi
    camera: Camera


@functools.cache
def views() -> tuple[View, ...]:
    """A few frames of the demo clip; the squares come from its ground truth."""
    with np.load(asset_path(f"{CLIP}.npz")) as truth:
        landmarks_px, focal_px = np.asarray(truth["landmarks_px"][0]), float(truth["focal_px"])
    found = []
    with VideoFile(asset_path(f"{CLIP}.mp4")) as video:
        for index in range(FRAMES[-1] + 1):
            frame = video.read()
            if frame is not None and index in FRAMES:
                kept = replace(frame, rgb=frame.rgb.copy())  # else the decoder's picture stays with it
                found.append(View(kept, _roi(landmarks_px[index]), Camera(*frame.size, focal_px)))
    return tuple(found)


def _roi(landmarks_px: Array) -> Roi:
    """(33, 2) px -> the square around the hips that holds them all, upright along the trunk."""
    hips, shoulders = landmarks_px[23:25].mean(0), landmarks_px[11:13].mean(0)
    reach = float(np.linalg.norm(landmarks_px - hips, axis=1).max())
    return roi_from_points(hips, hips + (shoulders - hips) / np.linalg.norm(shoulders - hips) * reach)


def detector() -> engines.Trial:
    """Whole frames."""
    return engines.Trial({"image": np.concatenate([letterbox(Picture(view.frame.rgb))[0] for view in views()])})


def landmarker() -> engines.Trial:
    """Crops; errors are those of the poses that the learned capture makes of the landmarks."""
    return engines.Trial(_crops(), lambda *outputs: joint_errors(*map(_poses, outputs)), LIMIT_MM)


def capture(spec: engines.EngineSpec) -> engines.Trial:
    """For the parts of the learned capture: what the landmark network sees in the views, and a past that is made up."""
    shapes = {name: tensor.shape for name, tensor in spec.inputs.items()}
    inputs = {**token_capture.sample(shapes, len(views())), **_seen(_landmarks(), shapes)}
    return engines.Trial(inputs, joint_errors if "R" in spec.outputs else None, LIMIT_MM)


def joint_errors(expected: Mapping[str, Array], found: Mapping[str, Array]) -> dict[str, float]:
    """Between two regressors' outputs, in millimetres: the mean over the joints of the worst view."""
    R_betas = [(outputs["R"], outputs["betas"]) for outputs in (expected, found)]
    distance = np.linalg.norm(np.subtract(*(joints_m(R, betas) for R, betas in R_betas)), axis=-1)
    return {"joints, mm": float(distance.mean(1).max() * 1e3)}


def vertex_errors(expected: Mapping[str, Array], found: Mapping[str, Array]) -> dict[str, float]:
    """Between two networks' vertices, in millimetres: the mean over the vertices of the worst view."""
    distance = np.linalg.norm(expected["vertices"] - found["vertices"], axis=-1)
    return {"vertices, mm": float(distance.mean(1).max() * 1e3)}


def error(network: engines.Network, engine: engines.Engine) -> tuple[str, float, float]:
    """How far an engine is off from its network: what is compared, the largest error, and the limit."""
    assert network.trial is not None
    trial = network.trial()
    inputs = network.spec.check(trial.inputs)
    errors, limit = judge(
        trial, engine.precision, engines.reference(network.build(), network.spec, inputs), engine(inputs)
    )
    what = max(errors, key=lambda name: errors[name])
    return what, errors[what], limit


def chain_error_mm(made: Mapping[str, engines.Engine]) -> float:
    """How far joints move when the landmark network and the learned capture both run as engines, by their names."""
    network, module = _step()
    landmarks = made[blazepose.LANDMARKER.name](_crops())
    expected = engines.reference(module, network.spec, _first_frame(_landmarks()))
    (error_mm,) = joint_errors(expected, made[network.name](_first_frame(landmarks))).values()
    return error_mm


def joints_m(R: Array, betas: Array) -> Array:
    """A regressor's rotations (B, 22, 3, 3) and shapes (B, 10) -> joints (B, 24, 3) m, the pelvis at 0."""
    whole = np.tile(np.eye(3, dtype=np.float32), (len(R), NUM_JOINTS, 1, 1))
    whole[:, : R.shape[1]] = R
    return np.asarray(load_skeleton().forward(whole, np.zeros(3, np.float32), betas))


@functools.cache
def squares(side: int, margin: float, aspect: float) -> Array:
    """Upright squares around the person in the views (B, side, side, 3) in [0, 1], as :class:`ImageRegressor` cuts."""
    found = []
    for view, person in zip(views(), _persons(_landmarks()), strict=True):
        maps = frame_from_square(square_around(person, margin, aspect), side)[None]
        found.append(Picture(view.frame.rgb).squares(maps, side, low=0.0, repeat=False))
    return np.concatenate(found)


@functools.cache
def _crops() -> dict[str, Array]:
    crops = [
        Picture(view.frame.rgb).squares(frame_from_crop(view.roi)[None], CROP_SIZE, low=0.0, repeat=True)
        for view in views()
    ]
    return {"image": np.concatenate(crops)}


@functools.cache
def _landmarks() -> dict[str, Array]:
    """What the landmark network itself says of the views."""
    network = blazepose.landmarker_network(features=True)
    return engines.reference(network.build(), network.spec, _crops())


def _seen(landmarks: Mapping[str, Array], names: Mapping[str, object]) -> dict[str, Array]:
    """The learned capture's inputs of these ``names`` that come of a frame alone."""
    given = token_capture.seen(_persons(landmarks), views()[0].camera)
    return {name: array for name, array in given.items() if name in names}


def _persons(outputs: Mapping[str, Array]) -> list[Person]:
    found = []
    for row, view in enumerate(views()):
        one = {name: array[row : row + 1] for name, array in outputs.items()}
        found.append(person_of(row, in_frame(one, view.frame.rgb, [view.roi])[0]))
    return found


def _poses(landmarks: Mapping[str, Array]) -> dict[str, Array]:
    network, module = _step()
    return engines.reference(module, network.spec, _first_frame(landmarks))


def _first_frame(landmarks: Mapping[str, Array]) -> dict[str, Array]:
    """The learned capture's inputs of people who were never seen before."""
    inputs = _step()[0].spec.inputs
    given = {name: np.zeros((len(views()), *spec.shape), np.float32) for name, spec in inputs.items()}
    return {**given, **_seen(landmarks, given)}


@functools.cache
def _step() -> tuple[engines.Network, torch.nn.Module]:
    network = token_capture.step_network()
    return network, network.build()
