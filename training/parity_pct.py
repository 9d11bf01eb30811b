"""Our counterparts of PCT's parity vectors, and its released configuration under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mocap.models.checkpoints import renamed
from mocap.models.pct import RULES, MixerSizes, PctConfig, PctHead, PctTokenizer, joint_features
from mocap.models.weights import load_weights
from training.parity_vector import Builder, Vector
from training.published.postometro import pct_classifier_losses, pct_tokenizer_losses

_STRIDE = 32  # px of the picture per cell of its last feature map


def released_config(released: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str = "") -> PctConfig:
    """The sizes of a released head's configuration, or of its tokenizer's alone.

    Args:
        weights: Under our names; they say how many joints there are, and how wide the picture's features, where the
            configuration does not.
        prefix: Of the tokenizer's keys in them.
    """
    tokenizer, head = released.get("tokenizer", released), released.get("cls_head")
    codebook, encoder = tokenizer["codebook"], tokenizer["encoder"]
    guide = weights.get(f"{prefix}embed_image.weight")
    sizes = {
        "joints": weights[f"{prefix}to_tokens.weight"].shape[1],
        "tokens": codebook["token_num"],
        "codes": codebook["token_class_num"],
        "code_dim": codebook["token_dim"],
        "decay": codebook["ema_decay"],
        "encoder": _mixer_sizes(encoder),
        "decoder": _mixer_sizes(tokenizer["decoder"]),
        "drop": encoder["drop_rate"],
        "guide_ratio": tokenizer.get("guide_ratio", released.get("guide_ratio", 0.0)),
        "image_channels": released.get("in_channels", 0 if guide is None else guide.shape[1]),
    }
    if head is not None:
        height, width = released["image_size"]
        sizes |= {
            "cells": (height // _STRIDE) * (width // _STRIDE),
            "channels": head["conv_channels"],
            "conv_blocks": head["conv_num_blocks"],
            "dilation": head["dilation"],
            "classifier": _mixer_sizes(head),
        }
    return PctConfig(**sizes)


def _mixer_sizes(released: Mapping[str, Any]) -> MixerSizes:
    return MixerSizes(
        released["num_blocks"],
        released["hidden_dim"],
        released["hidden_inter_dim"],
        released["token_inter_dim"],
        released["dropout"],
    )


def run_tokenizer(vector: Vector) -> dict[str, Tensor]:
    tokenizer, inputs = _tokenizer(vector), vector.inputs
    found: dict[str, Tensor] = {}
    if "joints" in inputs:
        latent = tokenizer.latent(inputs["joints"], _features(vector))
        indices = tokenizer.quantizer.nearest(latent.flatten(0, 1)).view(latent.shape[:2])
        settled = vector.settle("indices", indices)
        found = {
            "latents": latent,
            "indices": indices.flatten(),
            "gt_indices": indices.flatten(),
            "joints": tokenizer.decode(tokenizer.look_up(settled)),
        }
    if "probs" in inputs:
        probabilities = inputs["probs"].unflatten(0, (-1, tokenizer.config.tokens))
        joints = tokenizer.decode(probabilities @ tokenizer.quantizer.codebook)
        found |= {"joints_pred": joints, "joints_pred_train": joints}
    return found


def run_training(vector: Vector) -> dict[str, Tensor]:
    tokenizer, losses = _tokenizer(vector).train(), vector.config["loss_keypoint"]
    weight, commitment, beta = losses["joint_loss_w"], losses["e_loss_w"], losses["beta"]
    found: dict[str, Tensor] = {}
    steps = sorted(name for name in vector.inputs if re.fullmatch(r"joints\d+", name))
    for step in (name.removeprefix("joints") for name in steps):
        joints = vector.inputs[f"joints{step}"]
        output = tokenizer(joints, _features(vector, step))
        terms, quantizer = pct_tokenizer_losses(output, joints, commitment, beta), tokenizer.quantizer
        found |= {
            f"rec{step}": output.joints,
            f"indices{step}": output.indices.flatten(),
            f"e_loss{step}": terms["commitment"],
            f"codebook{step}": quantizer.codebook.clone(),
            f"cluster{step}": quantizer.code_count.clone(),
            f"ema_w{step}": quantizer.code_sum.clone(),
            f"joint_loss{step}": weight * terms["joints"],
            f"e_loss_weighted{step}": commitment * terms["commitment"],
        }
    return found


def run_head(vector: Vector) -> dict[str, Tensor]:
    weights = renamed(vector.weights, RULES)
    config = released_config(vector.config, weights, "tokenizer.")
    head = PctHead(config).eval()
    load_weights(head, weights, vector.label)
    found = head(vector.inputs["fmap"])
    joints = head.tokenizer.decode(found.embeddings)
    output = {"joints_pred": joints, "scores": found.score, "logits": found.logits.flatten(0, 1)}
    if "joints" in vector.inputs:
        true = vector.inputs["joints"]
        side = vector.config["image_size"][0]
        guide = joint_features(_guide(vector), true, side) if config.guided_width else None
        tokens = head.tokenizer.encode(true, guide)
        losses = pct_classifier_losses(found.logits, joints, vector.settle("gt_indices", tokens), true)
        output |= {"gt_indices": tokens.flatten(), "token_loss": losses["tokens"], "kpt_loss": losses["joints"]}
    return output


def run_gather(vector: Vector) -> dict[str, Tensor]:
    return {"feat": joint_features(vector.inputs["fmap"], vector.inputs["joints"], vector.config["image_size"])}


def _tokenizer(vector: Vector) -> PctTokenizer:
    weights = renamed(vector.weights, RULES)
    tokenizer = PctTokenizer(released_config(vector.config, weights)).eval()
    load_weights(tokenizer, weights, vector.label)
    return tokenizer


def _features(vector: Vector, step: str = "") -> Tensor | None:
    """The picture's features at the joints, where there is image guidance."""
    return next((x for name, x in vector.inputs.items() if "feat" in name and name.endswith(step)), None)


def _guide(vector: Vector) -> Tensor:
    """The map that guides the tokenizer: of a backbone of its own, or else the classifier's."""
    return next((x for name, x in vector.inputs.items() if name.startswith("extra")), vector.inputs["fmap"])


BUILDERS: dict[str, Builder] = {
    "pct.tokenizer": run_tokenizer,
    "pct.tokenizer_training": run_training,
    "pct.head": run_head,
    "pct.joint_feature_gather": run_gather,
}
