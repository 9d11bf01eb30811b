"""Our counterparts of VQ-HPS' and Mesh-VQ-VAE's parity vectors."""

from __future__ import annotations

from torch import Tensor

from mocap.models import mesh_vqvae
from mocap.models.checkpoints import renamed
from mocap.models.mesh_graph import Connections, from_rows
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.quantizer import LaplaceQuantizer, ResidualQuantizer
from mocap.models.weights import load_weights
from training.parity_vector import Builder, Vector

COMMITMENT = 0.25  # the released weight of the commitment, which is in the released losses


def run_quantizer(vector: Vector) -> dict[str, Tensor]:
    config = vector.config
    quantizer = LaplaceQuantizer(config["num_embeddings"], config["embedding_dim"], config["decay"]).train()
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
        "recon": network.decode(indices),
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


BUILDERS: dict[str, Builder] = {
    "vqhps.quantizer": run_quantizer,
    "vqhps.residual_quantizer": run_residual_quantizer,
    "vqhps.mesh_vqvae": run_mesh_vqvae,
}
