"""Our counterparts of TokenHMR's parity vectors: its networks here, the rest in ``parity_tokenhmr_training``."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mocap.body import torch_rotations as rotations
from mocap.models.checkpoints import MIXER, renamed, under
from mocap.models.layers import MixerLayer
from mocap.models.quantizer import EmaQuantizer
from mocap.models.tokenhmr import HEAD, RULES, HeadConfig, SmplHead, TokenClassifier
from mocap.models.tokenhmr_checkpoint import pose_decoder
from mocap.models.tokenizer import PoseTokenizer
from mocap.models.tokenizer_checkpoint import import_tokenizer, tokenizer_config
from mocap.models.vit import DecoderConfig, QueryDecoder, VisionTransformer, VitConfig
from mocap.models.weights import load_weights
from training import parity_tokenhmr_training
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


def run_vit(vector: Vector) -> dict[str, Tensor]:
    vit = VisionTransformer(vit_config(vector.config))
    load_weights(vit, renamed(vector.weights, RULES), vector.label)
    tokens = vit.eval()(vector.inputs["img"])
    return {"feat": tokens.transpose(1, 2).unflatten(2, vit.config.grid)}


def vit_config(config: dict[str, Any]) -> VitConfig:
    """Sizes under the released constructor's names; it has square patches."""
    return VitConfig(
        height=config["img_size"][0],
        width=config["img_size"][1],
        patch=config["patch_size"],
        overlap=config.get("ratio", 1),
        dim=config["embed_dim"],
        layers=config["depth"],
        heads=config["num_heads"],
        expansion=config.get("mlp_ratio", 4.0),
        bias=config.get("qkv_bias", False),
        drop_path=config.get("drop_path_rate", 0.0),
        last_norm=config.get("last_norm", True),
    )


def decoder_config(config: dict[str, Any]) -> DecoderConfig:
    """Sizes under the released constructor's names."""
    return DecoderConfig(
        width=config["dim"],
        layers=config["depth"],
        heads=config["heads"],
        head_width=config.get("dim_head", 64),
        hidden=config["mlp_dim"],
        context=config.get("context_dim") or config["dim"],
        tokens=config.get("num_tokens", 1),
        token_dim=config.get("token_dim", 1),
        dropout=config.get("dropout", 0.0),
    )


def run_decoder(vector: Vector) -> dict[str, Tensor]:
    decoder = _loaded(QueryDecoder(decoder_config(vector.config)), vector)
    return {"y": decoder(vector.inputs["token"], vector.inputs["context"])}


def run_mixer(vector: Vector) -> dict[str, Tensor]:
    names = ("hidden_dim", "hidden_inter_dim", "token_dim", "token_inter_dim")
    mixer = MixerLayer(*(vector.config[name] for name in names))
    load_weights(mixer, renamed(vector.weights, MIXER), vector.label)
    return {"y": mixer.eval()(vector.inputs["x"])}


def run_token_classifier(vector: Vector) -> dict[str, Tensor]:
    sizes = tokenizer_config(vector.config["arch"])
    classifier = _loaded(TokenClassifier(vector.config["in_channels"], HEAD, sizes), vector, "tokenizer.")
    d6, probabilities = classifier(vector.inputs["feat"])
    return {"theta6d": d6.flatten(1), "probs": probabilities}


def run_head(vector: Vector) -> dict[str, Tensor]:
    """Of TokenHMR, and of HMR2.0 when the vector has no tokenizer."""
    arch = vector.config.get("arch")
    config = HeadConfig(
        decoder=decoder_config(vector.config["decoder"]),
        tokenizer=tokenizer_config(arch) if arch else None,
        rotation_6d=vector.config.get("rotation_6d", "rows"),
    )
    head = _loaded(SmplHead(config), vector, "pose.tokenizer.")
    found = head(vector.inputs["fmap"].flatten(2).transpose(1, 2))
    renaming = {"cam": found["camera"], "global_orient": found["R"][:, :1], "body_pose": found["R"][:, 1:]}
    return {**found, **renaming, **({"probs": found["probabilities"]} if arch else {})}


def _loaded(module: nn.Module, vector: Vector, tokenizer: str | None = None) -> nn.Module:
    """With the vector's weights, in evaluation mode; those of its tokenizer go under the prefix ``tokenizer``."""
    released = under("TOKENIZER.", vector.weights)
    ours = renamed({key: value for key, value in vector.weights.items() if not key.startswith("TOKENIZER.")}, RULES)
    if released and tokenizer is not None:
        decoder = pose_decoder(released, tokenizer_config(vector.config["arch"]))
        ours |= {tokenizer + key: value for key, value in decoder.items()}
    load_weights(module, ours, vector.label)
    return module.eval()


BUILDERS: dict[str, Builder] = {
    "tokenhmr.tokenizer": run_tokenizer,
    "tokenhmr.quantizer": run_quantizer,
    "tokenhmr.rotations": run_rotations,
    "tokenhmr.tokenizer_losses": run_tokenizer_losses,
    "tokenhmr.vit": run_vit,
    "tokenhmr.transformer_decoder": run_decoder,
    "tokenhmr.mixer": run_mixer,
    "tokenhmr.token_classifier": run_token_classifier,
    "tokenhmr.token_head": run_head,
    "tokenhmr.hmr2_head": run_head,
    **parity_tokenhmr_training.BUILDERS,
}
