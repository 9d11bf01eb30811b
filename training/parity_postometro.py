"""Our counterparts of PostoMETRO's and FastMETRO's parity vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mocap.body.torch_rotations import axis_angle_to_matrix
from mocap.errors import MocapError
from mocap.models import fastmetro
from mocap.models.checkpoints import renamed
from mocap.models.fastmetro import EncoderDecoder
from mocap.models.pct import MixerSizes
from mocap.models.postometro import LAYERS, RULES, BodyMesh, PostoMetro, PostoMetroConfig, svd_rotations, transform
from mocap.models.weights import load_weights
from training.parity_vector import Builder, Vector, transformer_sizes
from training.projection import orthographic
from training.published import postometro as losses

_MESH = {"coarse": "coarse", "intermediate": "middle", "fine": "vertices"}


def released_config(released: Mapping[str, Any], weights: Mapping[str, Tensor]) -> PostoMetroConfig:
    """The sizes of a released configuration; those that it leaves out are read off the weights, under our names.

    Raises:
        MocapError: the positions are not sines.
    """
    if released["pos_type"] != "sine":
        raise MocapError(f"PostoMETRO: expected positions of sines, found '{released['pos_type']}'")
    mixers = {key.split(".")[2] for key in weights if key.startswith("modulator.mixers.")}
    hidden, width = weights["modulator.mixers.0.mix.wide.weight"].shape
    smpl = weights.get("smpl.out.weight")
    return PostoMetroConfig(
        image_channels=released["conv_1x1_dim"],
        layers=LAYERS[released["model_name"].removeprefix("PostoMETRO-")[0]],
        width=released["model_dim_1"],
        hidden=released["feedforward_dim_1"],
        reduced_width=released["model_dim_2"],
        reduced_hidden=released["feedforward_dim_2"],
        heads=released["transformer_nhead"],
        dropout=released["transformer_dropout"],
        joints=len(weights["joint_tokens"]),
        coarse=len(weights["vertex_tokens"]),
        middle=len(weights["upsample.weight"]),
        pose_tokens=len(weights["modulator.across.weight"]),
        modulator=MixerSizes(len(mixers), width, hidden, len(weights["modulator.mixers.0.token_mix.wide.weight"])),
        smpl_hidden=None if smpl is None else smpl.shape[1],
    )


def run_network(vector: Vector) -> dict[str, Tensor]:
    network, inputs = _network(vector), vector.inputs
    image, tokens, score = inputs["img"], inputs["pct_feat"], inputs["pct_score"]
    found = {
        "feat": network.backbone(image),
        "modulated": network.modulator.modulate(tokens),
        "fused": network.modulator(tokens, score),
    }
    sure = torch.full_like(score, losses.TRUE_SCORE)
    for prefix, pose in {"": (tokens, score), "score10.": (tokens, sure), "nopct.": ()}.items():
        found |= {prefix + name: value for name, value in _named(network(image, *pose)).items()}
    return found


def _network(vector: Vector) -> PostoMetro:
    weights = renamed(vector.weights, RULES)
    config = released_config(vector.config, weights)
    neighbours = ~vector.inputs["attention_mask"][config.joints :, config.joints :]
    # In place of a backbone: one convolution of patches and a ReLU.
    patches = weights["backbone.0.weight"]
    side = patches.shape[2]
    backbone = nn.Sequential(nn.Conv2d(patches.shape[1], patches.shape[0], side, side), nn.ReLU())
    network = PostoMetro(config, backbone, neighbours, vector.inputs["sampler_U"])
    load_weights(network, weights, vector.label)
    return network.eval()


def _named(mesh: BodyMesh) -> dict[str, Tensor]:
    """Under the released names."""
    found = {"pred_cam": mesh.camera, "pred_3d_joints": mesh.joints}
    found |= {f"pred_3d_vertices_{name}": getattr(mesh, ours) for name, ours in _MESH.items()}
    if mesh.R is not None and mesh.betas is not None:
        found |= {"pred_rotmat": mesh.R, "pred_betas": mesh.betas}
    return found


def run_transformer(vector: Vector) -> dict[str, Tensor]:
    """The vector's tensors are (tokens, batch, entries)."""
    transformer = EncoderDecoder(**transformer_sizes(vector.config), dropout=vector.config["dropout"])
    load_weights(transformer, renamed(vector.weights, fastmetro.RULES), vector.label)
    transformer.eval()
    inputs = {name: x.transpose(0, 1) for name, x in vector.inputs.items() if x.ndim == 3}
    image, pose, place, blocked = inputs["img"], inputs["pct"], inputs["pos"], vector.inputs["mask"]
    context = torch.cat([image, pose], 1)
    camera, context, points = transform(transformer, inputs["cam"], context, inputs["jv"], place, blocked)
    found = {"cam_out": camera, "enc_img": context, "jv_out": points, "pct_out": context[:, image.shape[1] :]}
    plain = transform(transformer, inputs["cam"], image, inputs["jv"], place, blocked)
    found |= dict(zip(("cam_nopose", "enc_nopose", "jv_nopose"), plain, strict=True))
    return {name: x.transpose(0, 1) for name, x in found.items()}


def run_svd(vector: Vector) -> dict[str, Tensor]:
    return {"rotmat": svd_rotations(vector.inputs["raw"])}


def run_rodrigues(vector: Vector) -> dict[str, Tensor]:
    return {"R": axis_angle_to_matrix(vector.inputs["aa"])}


def run_losses(vector: Vector) -> dict[str, Tensor]:
    inputs = vector.inputs
    mesh, edges, faces = (inputs["pred_v"], inputs["gt_v"], inputs["has"]), inputs["edge"], inputs["face"]
    return {
        "kp2d": losses.picture_loss(inputs["pred2d"], inputs["gt2d"]),
        "kp3d": losses.joint_loss(inputs["pred3d"], inputs["gt3d"], inputs["has"]),
        "vertices": losses.vertex_loss(*mesh),
        "edge_gt": losses.edge_loss(*mesh, edges),
        "edge_self": losses.edge_length(inputs["pred_v"], inputs["has"], edges),
        "edge_gt_nonuniform": losses.edge_loss(*mesh, losses.face_edges(faces)),
        "normal": losses.normal_loss(*mesh, faces),
        "ortho": orthographic(inputs["pred_v"], inputs["cam"]),
    }


BUILDERS: dict[str, Builder] = {
    "postometro.network": run_network,
    "postometro.transformer": run_transformer,
    "postometro.svd_rotations": run_svd,
    "fastmetro.rodrigues": run_rodrigues,
    "fastmetro.losses": run_losses,
}
