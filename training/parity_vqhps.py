"""Our counterparts of VQ-HPS' and Mesh-VQ-VAE's parity vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mocap.body.torch_rotations import axis_angle_to_matrix, rows6d_to_matrix
from mocap.models import fastmetro, mesh_vqvae, vqhps
from mocap.models.checkpoints import renamed, under
from mocap.models.hrnet import HRNet
from mocap.models.layers import sine_positions
from mocap.models.mesh_graph import Connections, from_rows
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.quantizer import LaplaceQuantizer, ResidualQuantizer
from mocap.models.resnet import ResNet
from mocap.models.vqhps import CausalHead, MeshRegressor, VQHPSConfig, turned
from mocap.models.weights import load_weights
from training.parity_vector import Builder, Vector, transformer_sizes
from training.projection import orthographic
from training.published.vqhps import mesh_errors, reprojection_loss, token_loss
from training.tokenizer_losses import rotation_loss

COMMITMENT = 0.25  # the released weight of the commitment, which is in the released losses
SMOOTHING = 1e-5  # of the codes' counts


def run_quantizer(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    sizes = config["num_embeddings"], config["embedding_dim"], config["decay"]
    quantizer = LaplaceQuantizer(*sizes, config.get("epsilon", SMOOTHING)).train()
    load_weights(quantizer, renamed(vector.weights, mesh_vqvae.RULES), vector.label)
    found: dict[str, Tensor] = {}
    for step in range(len(vector.inputs)):
        quantized = quantizer(vector.inputs[f"x{step}"].transpose(1, 2))
        found |= {
            f"loss{step}": config.get("commitment_cost", COMMITMENT) * quantized.commitment,
            f"zq{step}": quantized.z.transpose(1, 2),
            f"perplexity{step}": quantized.perplexity,
            f"indices{step}": quantized.indices,
            f"embedding{step}": quantizer.codebook.clone(),
            f"cluster{step}": quantizer.code_count.clone(),
            f"ema_w{step}": quantizer.code_sum.clone(),
        }
    return found


def run_residual_quantizer(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    sizes = config["num_quantizers"], config["num_embeddings"], config["embedding_dim"]
    quantizer = ResidualQuantizer(*sizes, shared=config.get("shared_codebook", False)).eval()
    load_weights(quantizer, renamed(vector.weights, mesh_vqvae.RULES), vector.label)
    quantized = quantizer(vector.inputs["x"].transpose(1, 2))
    return {
        "loss": config.get("commitment_cost", COMMITMENT) * quantized.commitment,
        "zq": quantized.z.transpose(1, 2),
        "perplexity": quantized.perplexity,
        "indices": quantized.indices,
    }


def run_mesh_vqvae(vector: Vector) -> dict[str, Tensor]:
    config, inputs = vector.config, vector.inputs
    weights = renamed(vector.weights, mesh_vqvae.RULES)
    sizes = MeshVQVAEConfig(
        channels=tuple(config["channel_lst"]),
        kernels=tuple(config["weight_num_lst"]),
        carried=tuple(config["residual_rate_lst"]),
        vertex_bias=bool(config.get("perpoint_bias", False)),
        codes=len(weights["quantizer.codebook"]),
    )
    network = MeshVQVAE(sizes, connections_of(vector)).eval()
    load_weights(network, weights, vector.label)
    found = network(inputs["x"])
    indices = vector.settle("indices", found.indices)
    return {
        "z": found.latent,
        "indices": found.indices,
        "vq_loss": config.get("commitment_cost", COMMITMENT) * found.commitment,
        "perplexity": found.perplexity,
        "recon": found.vertices if torch.equal(indices, found.indices) else network.decode(indices),
        "decoded": network.decode(indices),
        "direct": network.decode_latent(found.latent),
    }


def connections_of(vector: Vector) -> list[Connections]:
    found: list[Connections] = []
    vertices = vector.inputs["x"].shape[1]
    for name in vector.config["connection_layer_lst"]:
        rows = vector.inputs[f"conn.{name}"].numpy()
        found.append(from_rows(rows, found[-1].outputs if found else vertices, name))
    return found


def run_positions(vector: Vector) -> dict[str, Tensor]:
    batch, height, width = vector.inputs["bhw"].tolist()
    place = sine_positions(height, width, vector.config["hidden_dim"])
    return {"pos": place.T.unflatten(1, (height, width)).expand(batch, -1, -1, -1)}


def run_token_head(vector: Vector) -> dict[str, Tensor]:
    """The causal head as it is meant, over the tokens."""
    config = vector.config
    head = CausalHead(
        config["embed_dim"], config["n_head"], config["feedforward_dim"], config["num_layers"], config["num_vq"]
    ).eval()
    load_weights(head, renamed(vector.weights, vqhps.HEAD_RULES), vector.label)
    return {"logits": head(vector.inputs["x"])}


def run_transformer(vector: Vector) -> dict[str, Tensor]:
    """Sequence first in the vector; with the causal head as released, over the batch."""
    config, inputs = vector.config, vector.inputs
    weights = {key: value for key, value in vector.weights.items() if not key.startswith("dec_head.")}
    network = fastmetro.EncoderDecoder(**transformer_sizes(config)).eval()
    load_weights(network, renamed(weights, fastmetro.RULES), vector.label)
    picture, tokens, place = (inputs[name].transpose(0, 1) for name in ("img", "mesh_tokens", "pos"))
    memory = network.encode(picture, place)
    y = network.decode(tokens, memory, place)
    found = {"enc": memory.transpose(0, 1)}
    if not config["autoreg"]:
        return {**found, "y": y.transpose(0, 1)}
    sizes = config["model_dim"], config["nhead"], config["feedforward_dim"]
    head = CausalHead(*sizes, head_layers(vector.weights), config["dict_size"], over_batch=True).eval()
    load_weights(head, renamed(under("dec_head.", vector.weights), vqhps.HEAD_RULES), vector.label)
    chosen = {"y": range(len(y)), "logits_first_alone": [0], "logits_0_and_2": [0, 2]}
    return found | {name: head(y[list(at)]).transpose(0, 1) for name, at in chosen.items() if name in vector.outputs}


def head_layers(weights: dict[str, Tensor]) -> int:
    """Blocks of the causal head: no configuration names them."""
    return sum(key.endswith("ln1.weight") and "dec_head." in key for key in weights)


def run_regressor(vector: Vector) -> dict[str, Tensor]:
    config, inputs = vector.config, vector.inputs
    weights = {key.removeprefix("module."): value for key, value in vector.weights.items()}
    backbones = [backbone_of(under(f"{name}.", weights)) for name in ("backbone_rot", "backbone_pose")]
    sizes = VQHPSConfig(
        width=config["model_dim"],
        heads=config["nhead"],
        hidden=config["feedforward_dim"],
        encoder_layers=config["num_enc_layers"],
        decoder_layers=config["num_dec_layers"],
        features=weights["conv_1x1.weight"].shape[1],
        tokens=len(weights["mesh_token_embed.weight"]),
        codes=config["dict_size"],
        joints=inputs["pose_init"].shape[1] // 3,
        rotation_hidden=len(weights["fc1.weight"]),
        causal_head=config["autoreg"],
        head_layers=head_layers(weights),
        attend_over_batch=config["autoreg"],
    )
    regressor = MeshRegressor(sizes, *backbones).eval()
    vqhps.load_released(regressor, weights, vector.label)
    found = regressor(inputs["img"], inputs["pose_init"].unflatten(1, (-1, 3)))
    indices = found.logits.argmax(-1)
    canonical = stand_in_mesh(vector, vector.settle("indices", indices))
    return {
        "logits": found.logits,
        "indices": indices,
        "mesh_canonical": canonical,
        "mesh": turned(canonical, rows6d_to_matrix(found.rotation_6d)),
        "rot6d": found.rotation_6d,
        "cam": found.camera,
        "feat_rot": found.rotation_features,
        "feat_pose": regressor.pose_backbone(inputs["img"]),
    }


def backbone_of(weights: dict[str, Tensor]) -> nn.Module:
    """The network that these weights belong to; reduced vectors have one convolution and ReLU in its place."""
    if "7.0.conv1.weight" in weights:
        return ResNet()
    if "conv1.weight" in weights:
        return HRNet()
    outputs, inputs, side, _ = weights["0.weight"].shape
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, side), nn.ReLU())


def stand_in_mesh(vector: Vector, indices: Tensor) -> Tensor:
    """The vector's mesh decoder (B, N) -> (B, V, 3): rows of a table by token, weighted by place and added up."""
    table, place = vector.inputs["decoder_table"], vector.inputs["decoder_pos"]
    return (table[indices] * place).sum(1).unflatten(1, (-1, 3))


def run_losses(vector: Vector) -> dict[str, Tensor]:
    inputs, order = vector.inputs, vector.config["H36M_TO_J17"]
    vertices, camera, points = inputs["pred_vertices"], inputs["cam"], inputs["j2d17"]
    human36m = orthographic(inputs["J_h36m"][order] @ vertices, camera)
    R = rows6d_to_matrix(inputs["pred_rot6d"]), axis_angle_to_matrix(inputs["gt_rot_aa"])
    meshes = vertices.numpy(), inputs["gt_vertices"].numpy()
    errors = mesh_errors(*meshes, inputs["J_h36m"].numpy(), released_alignment=True)
    return {
        "ce": token_loss(inputs["logits"], inputs["indices"]),
        "rot": rotation_loss(*R, "l2"),
        "reproj_conf": reprojection_loss(human36m, points[..., :2], points[..., 2]),
        "reproj_3dpw": reprojection_loss(orthographic(inputs["J_smpl"] @ vertices, camera), inputs["j2d24"]),
        "ortho": orthographic(vertices, camera),
        **{name: torch.from_numpy(error) for name, error in errors.items()},
        "v2v_mean": torch.tensor(errors["v2v"].mean()),
    }


BUILDERS: dict[str, Builder] = {
    "vqhps.quantizer": run_quantizer,
    "vqhps.residual_quantizer": run_residual_quantizer,
    "vqhps.mesh_vqvae": run_mesh_vqvae,
    "vqhps.position_sine": run_positions,
    "vqhps.token_head": run_token_head,
    "vqhps.transformer": run_transformer,
    "vqhps.regressor": run_regressor,
    "vqhps.losses_metrics": run_losses,
}
