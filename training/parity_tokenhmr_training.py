"""Our counterparts of the parity vectors of TokenHMR's losses, crops, keypoints and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body.torch_rotations import geodesic_angle
from training import metrics
from training.parity_vector import Builder, Vector
from training.published import crops, tokenhmr
from training.published.tokenhmr import Known, LossConfig, People

_VARIANTS = {"tals": True, "plain": False, "tals_eval": False}  # the released evaluation counts every label in full
_WEIGHTS = {
    "keypoints_3d": "KEYPOINTS_3D",
    "keypoints_2d": "KEYPOINTS_2D",
    "orientation": "GLOBAL_ORIENT",
    "pose": "BODY_POSE",
    "betas": "BETAS",
}


def run_losses(vector: Vector) -> dict[str, Tensor]:
    inputs, config = vector.inputs, vector.config
    weights = {ours: config["weights"][name] for ours, name in _WEIGHTS.items() if name in config["weights"]}
    R_label = tokenhmr.rotations_of(inputs["gt_global_orient"], inputs["gt_body_pose"])
    label = People(inputs["gt_kp2d"], inputs["gt_kp3d"], R_label, inputs["gt_betas"])
    true_3d = tokenhmr.is_true_3d(config["datasets"]) if "datasets" in config else inputs["is_3d_dataset"]
    known = Known(inputs["has.global_orient"], inputs["has.body_pose"], inputs["has.betas"], true_3d)
    found: dict[str, Tensor] = {
        "angle_error_body": geodesic_angle(inputs["pred.body_pose"], R_label[:, 1:]),
        "thresh_kp2d": torch.tensor(tokenhmr.KEYPOINT_THRESHOLDS),
        "thresh_body_pose": torch.tensor(tokenhmr.POSE_THRESHOLDS[1:]),
        "thresh_global_orient": torch.tensor(tokenhmr.POSE_THRESHOLDS[:1]),
    }
    for name, scaled in _VARIANTS.items():
        losses = LossConfig(**weights, tals=scaled, scale=config.get("loose_weight", LossConfig.scale))
        found |= {f"{name}.{key}": value for key, value in _losses(inputs, label, known, losses).items()}
    return found


def _losses(inputs: dict[str, Tensor], label: People, known: Known, config: LossConfig) -> dict[str, Tensor]:
    """Terms and gradients under the released names."""
    leaves = {name: inputs[name].clone().requires_grad_() for name in ("pred_kp2d", "pred.body_pose")}
    with torch.enable_grad():
        R = torch.cat([inputs["pred.global_orient"], leaves["pred.body_pose"]], 1)
        people = People(leaves["pred_kp2d"], inputs["pred_kp3d"], R, inputs["pred.betas"])
        terms = tokenhmr.token_hmr_losses(people, label, known, config)
        kp2d, pose = torch.autograd.grad(terms["total"], list(leaves.values()))
    return {
        **{f"loss_{released.lower()}": terms[ours] for ours, released in _WEIGHTS.items()},
        "total": terms["total"],
        "loss": terms["total"],
        "grad_kp2d": kp2d,
        "grad_body_pose": pose,
    }


def run_crop(vector: Vector) -> dict[str, Tensor]:
    inputs = {name: tensor.numpy() for name, tensor in vector.inputs.items()}
    center, box = inputs["center"], float(inputs["bbox"])
    labels = ("kp2d", "kp3d", "global_orient", "body_pose", "betas")
    person = crops.Person(*(inputs[name] for name in labels))
    found: dict[str, NDArray[Any]] = {}
    for number, case in enumerate(vector.config["cases"]):
        side = vector.outputs[f"c{number}.img"].shape[-1]
        flipped = tuple(vector.config.get("flip_permutation", crops.FLIPPED_KEYPOINTS))
        example = crops.get_example(person, inputs["image"], center, box, _augmentation(case), side, flipped)
        found |= {f"c{number}.img": example.image, f"c{number}.trans": example.crop_from_picture}
        values = (getattr(example.person, field) for field in ("keypoints_2d", "keypoints_3d", "orientation", "pose"))
        found |= {f"c{number}.{name}": value for name, value in zip(labels, [*values, person.betas], strict=True)}
    found |= {name: _expanded(vector, name) for name in vector.outputs if name.startswith("expand_")}
    certain = np.column_stack([person.keypoints_2d[:, :2], np.ones(len(person.keypoints_2d))])
    for name, expected in vector.outputs.items():
        if name.startswith("extreme_cropping"):
            parts = crops.AGGRESSIVE if "aggressive" in name else crops.USUAL
            found[name] = _nearest_part(center, box, certain, parts, expected)
    return {name: torch.from_numpy(np.asarray(value)) for name, value in found.items()}


def _augmentation(case: dict[str, Any]) -> crops.Augmentation:
    return crops.Augmentation(
        scale=case["scale"],
        rotation=case["rot"],
        flip=case["flip"],
        shift=(case["tx"], case["ty"]),
        color=tuple(case["color"]),
    )


def _expanded(vector: Vector, name: str) -> NDArray[Any]:
    """``expand_3x4`` is a box expanded to 3 : 4; the vector gives the box itself as ``expand_none``."""
    aspect = name.removeprefix("expand_")
    size = vector.outputs["expand_none"]
    width, _, height = aspect.partition("x")
    return crops.expand_to_aspect(size, None if aspect == "none" else (float(width), float(height)))


def _nearest_part(
    center: NDArray[Any], box: float, keypoints: NDArray[Any], parts: dict[str, float], expected: NDArray[Any]
) -> NDArray[Any]:
    """Centre, width and height (4,) of the part's box that was drawn: the vector does not say which, so the nearest."""
    boxes = [crops.part_box(center, box, keypoints, part) for part in parts]
    candidates = np.array([[*middle, side, side] for middle, side in boxes])
    return np.asarray(candidates[np.abs(candidates - expected).sum(1).argmin()])


def run_metrics(vector: Vector) -> dict[str, Tensor]:
    predicted, true = (vector.inputs[name].numpy() for name in ("pred", "gt"))
    found = {
        "mpjpe": 1000 * metrics.mpjpe(predicted, true),
        "pa_mpjpe": 1000 * metrics.pa_mpjpe(predicted, true),
        "aligned": metrics.procrustes(predicted, true),
    }
    return {name: torch.from_numpy(value) for name, value in found.items()}


def run_keypoints(vector: Vector) -> dict[str, Tensor]:
    body = (vector.inputs["joints45"], vector.inputs["vertices"], vector.inputs["J_extra"])
    order = vector.config["joint_map"]
    return {f"joints44_hips{int(moved)}": tokenhmr.keypoints_of(*body, order, moved) for moved in (False, True)}


BUILDERS: dict[str, Builder] = {
    "tokenhmr.losses": run_losses,
    "tokenhmr.crop": run_crop,
    "tokenhmr.metrics": run_metrics,
    "smpl.joints_tokenhmr": run_keypoints,
}
