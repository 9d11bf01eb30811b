"""Our counterparts of INT's parity vectors, and of those of the SMPL layer that it shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mocap.body import torch_rotations as rotations
from mocap.body.model import Body
from mocap.body.skeleton import PARENTS
from mocap.body.smpl_file import SmplArrays
from mocap.errors import MocapError
from mocap.models import independent_tokens as network
from mocap.models.checkpoints import renamed
from mocap.models.independent_tokens import IndependentTokensConfig, interleaved6d_to_matrix
from mocap.models.resnet_v2 import ResNetV2Config
from mocap.models.weights import load_weights
from mocap.people.roi import apply_affine
from training import metrics
from training.parity_vector import Builder, Vector
from training.published import independent_tokens as data

_CLIP, _STRIDE, _SIDE = 8, 4, 64  # of the vectors of the data
_CROPS = {"c0": (1.1, 0.0, (0.0, 0.0)), "c1": (1.3, 20.0, (0.05, -0.1))}  # scale, rotation, shift


# The released configurations' names -> ours.
_SIZES = {
    "img_size": "picture",
    "patch_size": "patch",
    "embed_dim": "width",
    "depth": "depth",
    "num_heads": "heads",
    "qkv_bias": "bias",
    "norm_eps": "eps",
    "temporal_layers": "temporal_depth",
    "temporal_num_heads": "temporal_heads",
    "seq_length": "frames",
}


def network_config(released: Mapping[str, Any]) -> IndependentTokensConfig:
    """Of the released configurations' names; what they leave out is the paper's.

    Raises:
        MocapError: they ask for blocks that INT does not have.
    """
    if (mode := released.get("st_mode", "vanilla")) not in ("vanilla", "parallel"):
        raise MocapError(f"Independent tokens: expected st_mode vanilla or parallel, found '{mode}'")
    fields = {ours: released[name] for name, ours in _SIZES.items() if name in released}
    if not released.get("enable_temp_embedding", True):
        fields["frames"] = None
    if "hybrid" in released:
        fields["backbone"] = None if released["hybrid"] is None else _backbone_config(released["hybrid"])
    width = released.get("embed_dim", IndependentTokensConfig.width)
    return IndependentTokensConfig(
        hidden=int(width * released.get("mlp_ratio", 4)),
        parallel=mode == "parallel",
        temporal="joint" if released.get("enable_temp_modeling", True) else None,
        **fields,
    )


def _backbone_config(released: Mapping[str, Any]) -> ResNetV2Config:
    default = ResNetV2Config()
    return ResNetV2Config(
        tuple(released.get("layers", default.layers)),
        tuple(released.get("channels", default.channels)),
        released.get("stem_chs", default.stem),
    )


def run_base(vector: Vector) -> dict[str, Tensor]:
    model = network.from_released(vector.weights, network_config(vector.config), vector.label)
    pictures = vector.inputs["x"]
    tokens = model.encode(pictures)
    out = model.decode(tokens)
    found = {
        "patch_tokens": model.patches(pictures.flatten(0, 1)),
        "joint_tokens": tokens.joints.flatten(0, 1),
        "shape_token": tokens.shape.flatten(0, 1),
        "cam_token": tokens.camera.flatten(0, 1),
        "joint_tokens_temporal": model.over_time(tokens.joints).flatten(0, 1),
        "theta": data.theta_of(out),
        "rotmat": out["R"],
    }
    if "fake_smpl_A" in vector.inputs:  # a linear map stands for the body
        parameters = torch.cat([out["R"].flatten(-3), out["betas"]], -1)
        found["kp_3d"] = (parameters @ vector.inputs["fake_smpl_A"].T).unflatten(-1, (-1, 3))
        found["kp_2d"] = data.in_picture(found["kp_3d"], out["camera"])
    return found


def run_block(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    parallel, x = "seqlen" in config, vector.inputs["x"]
    sizes = IndependentTokensConfig(
        width=config["dim"],
        hidden=int(config["dim"] * config["mlp_ratio"]),
        bias=config.get("qkv_bias", True),
        eps=config.get("norm_eps", 1e-6),
        heads=config["num_heads"],
        temporal=None,
    )
    block = network.make_block(sizes, config["num_heads"], parallel).eval()
    load_weights(block, renamed(vector.weights, network.BLOCK_RULES), vector.label)
    y: Tensor = block(x.unflatten(0, (-1, config["seqlen"])) if parallel else x)
    return {"y": y.reshape(x.shape)}


def run_rotations(vector: Vector) -> dict[str, Tensor]:
    inputs = vector.inputs
    R = rotations.axis_angle_to_matrix(inputs["aa"])
    return {
        "rot6d": interleaved6d_to_matrix(inputs["d6"]),
        "rodrigues": R,
        "rotmat_to_aa": rotations.matrix_to_axis_angle(R),
        "projected": data.in_picture(inputs["joints"], inputs["cam"]),
    }


def run_losses(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    if config.get("e_smpl_accl_loss"):
        raise MocapError("expected e_smpl_accl_loss 0, as in all of INT's phases")
    weights = data.LossWeights(
        picture=config["e_loss_weight"],
        points=config["e_3d_loss_weight"],
        velocity=config["e_temp_loss_weight"],
        pose=config["e_pose_loss_weight"],
        shape=config["e_shape_loss_weight"],
        norm=config["e_smpl_norm_loss"],
    )
    names = {
        "total": "total",
        "picture": "loss_kp_2d",
        "points": "loss_kp_3d",
        "velocity": "loss_temp_kp_3d",
        "shape": "loss_shape",
        "pose": "loss_pose",
        "norm": "loss_norm",
    }
    found: dict[str, Tensor] = {}
    for case in sorted({name.split(".")[0] for name in vector.outputs}):
        terms = data.losses(weights, *(_pictures(vector) if case == "image" else _clips(vector, case == "video")))
        found |= {f"{case}.{names[name]}": term for name, term in terms.items()}
    return found


def _pictures(vector: Vector) -> tuple[data.Estimates, data.Labels]:
    estimates, labels = _named(vector, "image.preds."), _named(vector, "image.target.")
    single = [labels[name][:, None] for name in ("kp_2d", "kp_3d", "theta", "w_smpl")]
    return _estimates(estimates), data.Labels(*single)


def _clips(vector: Vector, with_2d: bool) -> tuple[data.Estimates, data.Labels]:
    """Clips with labels in the picture alone come first."""
    labels, others = _named(vector, "video.data_3d."), _named(vector, "video.data_2d.")
    picture, estimates = labels["kp_2d"], _named(vector, "video.preds.")
    if with_2d:
        picture = torch.cat([others["kp_2d"], picture])
    estimates = {name: tensor[-len(picture) :] for name, tensor in estimates.items()}
    return _estimates(estimates), data.Labels(picture, labels["kp_3d"], labels["theta"], labels["w_smpl"])


def _estimates(found: dict[str, Tensor]) -> data.Estimates:
    return data.Estimates(found["kp_2d"], found["kp_3d"], found["theta"])


def _named(vector: Vector, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in vector.inputs.items() if name.startswith(prefix)}


def run_data(vector: Vector) -> dict[str, Tensor]:
    inputs = {name: tensor.numpy() for name, tensor in vector.inputs.items()}
    points, videos = inputs["kp2d"], inputs["vid_is_b"]
    found: dict[str, NDArray[np.generic]] = {
        "kp2d_flip": data.mirror_picture(points, _SIDE),
        "kp3d_flip": data.mirror_points(inputs["kp3d"]),
        "pose_flip": data.mirror_pose(inputs["pose"], keep_right_hand=True),
        "chunks": data.clips_of(videos, _CLIP, _STRIDE),
        "chunks_nopad": data.clips_of(videos, _CLIP, _STRIDE, pad=False),
        "bbox_from_kp": data.box_of_points(points),
    }
    for name, (scale, rotation, shift) in _CROPS.items():
        transform = data.crop_transform(inputs["bbox"], _SIDE, scale, rotation, shift)
        moved = np.concatenate([apply_affine(transform, points[:, :2]), points[:, 2:]], 1)
        found |= {f"{name}.trans": transform, f"{name}.kp": moved}
        found[f"{name}.img"] = data.crop(inputs["image"], transform, _SIDE)
    return {name: torch.from_numpy(array) for name, array in found.items()}


def run_metrics(vector: Vector) -> dict[str, Tensor]:
    predicted, true = vector.inputs["pred"].numpy(), vector.inputs["gt"].numpy()
    found = {
        "accel_pred": metrics.accelerations(predicted, 1.0).mean(-1),
        "accel_err": metrics.accelerations(predicted - true, 1.0).mean(-1),
        "aligned": metrics.procrustes(predicted, true),
    }
    return {name: torch.from_numpy(array) for name, array in found.items()}


def run_joints(vector: Vector) -> dict[str, Tensor]:
    inputs = vector.inputs
    order = vector.config.get("joint_map", data.JOINT_ORDER)
    return {"joints49": data.spin_joints(inputs["joints45"], inputs["vertices"], inputs["J_extra"], order)}


def run_skinning(vector: Vector) -> dict[str, Tensor]:
    if (parents := tuple(vector.config.get("parents", PARENTS))) != PARENTS:
        raise MocapError(f"expected SMPL's tree {PARENTS}, found {parents}")
    inputs = vector.inputs
    arrays = {name: inputs[name].numpy() for name in ("v_template", "shapedirs", "J_regressor", "weights")}
    posedirs = inputs["posedirs"].T.unflatten(0, (-1, 3)).numpy()
    body = Body(SmplArrays(**arrays, posedirs=posedirs, faces=np.zeros((1, 3), np.int64)))
    p_root = body.rest_joints(inputs["betas"])[:, 0]
    found = {}
    turned = rotations.axis_angle_to_matrix(inputs["pose_aa"].unflatten(-1, (-1, 3)))
    for suffix, R in (("", turned), ("_rotmat", inputs["rotmats"])):
        found[f"vertices{suffix}"] = body.vertices(R, p_root, inputs["betas"])
        found[f"joints{suffix}"] = body.joints(R, p_root, inputs["betas"])
    return found


BUILDERS: dict[str, Builder] = {
    "int.base": run_base,
    "int.block": run_block,
    "int.block_parallel": run_block,
    "int.rotations": run_rotations,
    "int.losses": run_losses,
    "int.data": run_data,
    "int.metrics": run_metrics,
    "smpl.joints_int": run_joints,
    "smpl.lbs": run_skinning,
}
