"""Our counterparts of TokenHMR's parity vectors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mocap.body import torch_rotations as rotations
from mocap.models.quantizer import EmaQuantizer
from mocap.models.tokenizer import PoseTokenizer
from training.checkpoints import import_tokenizer, tokenizer_config
from training.parity_vector import Builder, Vector
from training.projection import perspective
from training.tokenizer_losses import point_loss, rotation_loss


def run_tokenizer(vector: Vector) -> dict[str, Tensor]:
    tokenizer = import_tokenizer(vector.weights, tokenizer_config(vector.config["arch"]), vector.label)
    found: dict[str, Tensor] = {}
    if "pose_rotmat" in vector.inputs:
        found |= _reconstruct(tokenizer, vector)
    if "token_probs" in vector.inputs:
        soft = vector.inputs["token_probs"] @ tokenizer.quantizer.codebook
        soft_R = tokenizer.decode_logits(vector.inputs["token_probs"].log())
        found |= {"soft_embed": soft, "soft_6d": tokenizer.decode_6d(soft), "soft_rotmat": soft_R}
    return found


def _reconstruct(tokenizer: PoseTokenizer, vector: Vector) -> dict[str, Tensor]:
    R, quantizer = vector.inputs["pose_rotmat"], tokenizer.quantizer
    reconstruction = tokenizer(R)
    indices = vector.settle("indices", reconstruction.indices)
    codes = F.embedding(indices, quantizer.codebook)
    return {
        "rot6d": rotations.matrix_to_rows6d(R),
        "latent": reconstruction.latent,
        "indices": reconstruction.indices.flatten(),
        "quantized": codes.flatten(0, 1),
        "commit_loss": reconstruction.commitment,
        "perplexity": quantizer.perplexity(indices),
        "recon_6d": tokenizer.decode_6d(codes),
        "recon_rotmat": tokenizer.decode_tokens(indices),
    }


def run_quantizer(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    quantizer = EmaQuantizer(config["nb_code"], config["code_dim"], config["mu"]).train()
    found: dict[str, Tensor] = {}
    for step in range(len(vector.inputs)):
        quantized = quantizer(vector.inputs[f"x{step}"])
        found |= {
            f"y{step}": quantized.z,
            f"indices{step}": quantized.indices.flatten(),
            f"commit{step}": quantized.commitment,
            f"perplexity{step}": quantized.perplexity,
            f"codebook{step}": quantizer.codebook.clone(),
            f"code_sum{step}": quantizer.code_sum.clone(),
            f"code_count{step}": quantizer.code_count.clone(),
        }
    return found


def run_rotations(vector: Vector) -> dict[str, Tensor]:
    inputs = vector.inputs
    R = rotations.axis_angle_to_matrix(inputs["aa"])
    from_rows = rotations.rows6d_to_matrix(inputs["d6"])
    return {
        "geo_rot6d": from_rows,
        "tok_rot6d": from_rows,
        "fourd_rot6d": rotations.columns6d_to_matrix(inputs["d6"]),
        "aa_to_rotmat": R,
        "tok_aa_to_matrix": R,
        "matrix_to_aa": rotations.matrix_to_axis_angle(R, shortest=False),
        "matrix_to_6d": rotations.matrix_to_rows6d(R),
        "geo_matrix_to_6d": rotations.matrix_to_rows6d(R),
        "projected": perspective(inputs["points"], inputs["translation"], inputs["focal"]),
    }


def run_tokenizer_losses(vector: Vector) -> dict[str, Tensor]:
    inputs = vector.inputs
    R = inputs["pred_rotmat"], inputs["gt_rotmat"]
    joints = inputs["pred_joints"][:, 1:22], inputs["gt_joints"][:, 1:22]
    return {
        "pose": rotation_loss(*R, "l2"),
        "joints": point_loss(*joints, "l2"),
        "mesh": point_loss(inputs["pred_vertices"], inputs["gt_vertices"], "l2"),
        "geodesic": rotation_loss(*R, "geodesic"),
        "rotdist": rotations.geodesic_angle(*R).mean(),
    }


BUILDERS: dict[str, Builder] = {
    "tokenhmr.tokenizer": run_tokenizer,
    "tokenhmr.quantizer": run_quantizer,
    "tokenhmr.rotations": run_rotations,
    "tokenhmr.tokenizer_losses": run_tokenizer_losses,
}
