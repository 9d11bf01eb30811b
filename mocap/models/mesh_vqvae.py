"""Mesh-VQ-VAE: a body mesh as 54 tokens (VQ-HPS, section 4), each of which stands for a place on the body.

A fully convolutional mesh autoencoder (Zhou et al. 2020) with a codebook between its halves. Its layers read, for each
vertex of their output, a list of vertices of their input: the connections, see :mod:`mocap.models.mesh_graph`. Meshes
are canonical: (B, V, 3) m, not turned, the mean of the vertices at the origin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.config import option
from mocap.errors import MocapError
from mocap.models.checkpoints import Rules
from mocap.models.mesh_graph import Connections
from mocap.models.quantizer import LaplaceQuantizer, ResidualQuantizer


@dataclass(frozen=True)
class MeshVQVAEConfig:
    """Sizes; the defaults are the paper's. The first half of the layers encodes.

    Raises:
        MocapError: the lists differ in length, or it is odd.
    """

    channels: tuple[int, ...] = option((32, 32, 64, 64, 128, 128, 9, 128, 128, 64, 64, 32, 32, 3), "after each layer")
    kernels: tuple[int, ...] = option(
        (9, 0, 9, 0, 9, 0, 9, 9, 0, 9, 0, 9, 0, 9), "kernels of each layer; 0 where all is carried over"
    )
    carried: tuple[float, ...] = option(
        (0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0), "part of each layer's output that is not convolved; 1: a pooling"
    )
    vertex_bias: bool = option(False, "convolutions have a bias for each vertex, not one for all")
    codes: int = option(512, "entries of the codebook, S; of each where there are several", "S", low=1)
    quantizers: int = option(1, "codes whose sum is a latent; the paper has one", "N", low=1)
    shared_codebook: bool = option(False, "of several quantisers")
    decay: float = option(0.99, "of the codebook's moving averages", low=0, high=1)

    def __post_init__(self) -> None:
        lengths = {len(self.channels), len(self.kernels), len(self.carried)}
        if len(lengths) > 1 or len(self.channels) % 2:
            raise MocapError(f"Mesh-VQ-VAE: expected lists of one even length, found lengths {sorted(lengths)}")

    @property
    def encoder_layers(self) -> int:
        return len(self.channels) // 2

    @property
    def code_dim(self) -> int:
        """d, entries of a code."""
        return self.channels[self.encoder_layers - 1]


class MeshLayer(nn.Module):
    """A convolution, a pooling, or both, from N vertices to P: (B, N, inputs) -> (B, P, outputs).

    The kernel of the edge to neighbour m of vertex p is a mixture of W kernels that all edges share, by coefficients
    that belong to the edge. What is carried over is a mean of the neighbours with weights that belong to the edges, or
    the vertex itself where N = P. The output is ``sqrt(1 - carried) ELU(convolved) + sqrt(carried) mean``.

    Args:
        connections: Of the P vertices to the N.
        inputs, outputs: Channels.
        kernels: W.
        carried: Part of the output that is not convolved; 0 is a convolution and 1 a pooling.
        vertex_bias: A bias for each vertex.
        activate: ELU after the convolution.
    """

    neighbours: Tensor  # (P, M) int64, N where a vertex has fewer
    present: Tensor  # (P, M) float, 0 there

    def __init__(
        self,
        connections: Connections,
        inputs: int,
        outputs: int,
        kernels: int,
        carried: float,
        vertex_bias: bool = False,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.outputs, self.activate = outputs, activate
        self.convolved_part, self.carried_part = math.sqrt(1 - carried), math.sqrt(carried)
        neighbours = torch.from_numpy(connections.neighbours)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("present", (neighbours < connections.inputs).float(), persistent=False)
        shape, usual = neighbours.shape, connections.mean_count
        if carried < 1:
            self.kernels = nn.Parameter(torch.randn(kernels, outputs * inputs))
            self.mixture = nn.Parameter(torch.randn(*shape, kernels) / (usual * kernels))
            self.bias = nn.Parameter(torch.zeros(*shape[: int(vertex_bias)], outputs))
        self.pooled = carried > 0 and shape[0] != connections.inputs
        if self.pooled:
            self.pool = nn.Parameter(torch.randn(*shape) / usual)
        self.projected = carried > 0 and inputs != outputs
        if self.projected:
            self.projection = nn.Parameter(torch.randn(outputs, inputs) / outputs)

    def forward(self, x: Tensor) -> Tensor:
        if not self.carried_part:
            return self._convolve(x)
        if not self.convolved_part:
            return self._carry(x)
        return self.convolved_part * self._convolve(x) + self.carried_part * self._carry(x)

    def _near(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (P, M, B C), zeros where there is no neighbour. Vertices come first: what follows is a product
        of matrices for each of them, which wants no other order of the numbers."""
        return F.embedding(self.neighbours, F.pad(x.transpose(0, 1).flatten(1), (0, 0, 0, 1)))

    def _convolve(self, x: Tensor) -> Tensor:
        # The neighbours are mixed first: a kernel for each edge would be hundreds of megabytes.
        mixed = self.mixture.transpose(1, 2) @ self._near(x)  # (P, W, B C)
        kernels = self.kernels.unflatten(1, (self.outputs, -1)).transpose(1, 2).flatten(0, 1)  # (W C, outputs)
        mixed = mixed.unflatten(2, (len(x), -1)).permute(2, 0, 1, 3)
        convolved = mixed.flatten(2) @ kernels + self.bias
        return F.elu(convolved) if self.activate else convolved

    def _carry(self, x: Tensor) -> Tensor:
        if self.projected:
            x = x @ self.projection.T
        if not self.pooled:
            return x
        share = self.pool.abs() * self.present
        share = share / (share.sum(1, keepdim=True) + 1e-8)
        carried = share[:, None] @ self._near(x)  # (P, 1, B C)
        return carried[:, 0].unflatten(1, (len(x), -1)).transpose(0, 1)


class MeshReconstruction(NamedTuple):
    """A mesh after encoding, quantising and decoding."""

    vertices: Tensor  # (B, V, 3) m
    latent: Tensor  # (B, N, d) before quantising
    indices: Tensor  # (B, N), or (B, N, quantizers)
    commitment: Tensor  # (), its weight is 0.25
    perplexity: Tensor  # ()


class MeshVQVAE(nn.Module):
    """Encoder, codebook and decoder. The codebook moves in ``forward`` in training mode only.

    Args:
        connections: Of each layer, see :func:`mocap.models.mesh_graph.connections`.

    Raises:
        MocapError: there are more or fewer connections than layers, or one layer's do not fit the one before.
    """

    def __init__(self, config: MeshVQVAEConfig, connections: Sequence[Connections]) -> None:
        super().__init__()
        self.config = config
        if len(connections) != len(config.channels):
            raise MocapError(
                f"Mesh-VQ-VAE: expected connections of {len(config.channels)} layers, found {len(connections)}"
            )
        inputs = (config.channels[-1], *config.channels[:-1])  # a decoded mesh has what a mesh has
        self.layers = nn.Sequential()
        for number, found in enumerate(connections):
            if number and found.inputs != connections[number - 1].outputs:
                raise MocapError(
                    f"Mesh-VQ-VAE: expected connections to {connections[number - 1].outputs} vertices for layer "
                    f"{number}, found some to {found.inputs}"
                )
            self.layers.append(
                MeshLayer(
                    found,
                    inputs[number],
                    config.channels[number],
                    config.kernels[number],
                    config.carried[number],
                    config.vertex_bias,
                    activate=number + 1 < len(connections),
                )
            )
        sizes = config.codes, config.code_dim, config.decay
        self.quantizer: LaplaceQuantizer | ResidualQuantizer = LaplaceQuantizer(*sizes)
        if config.quantizers > 1:
            self.quantizer = ResidualQuantizer(config.quantizers, *sizes, shared=config.shared_codebook)

    def forward(self, vertices: Tensor) -> MeshReconstruction:
        """Meshes (B, V, 3) m -> their reconstruction."""
        latent = self.latent(vertices)
        quantized = self.quantizer(latent.transpose(1, 2))
        decoded = self.decode_latent(quantized.z.transpose(1, 2))
        return MeshReconstruction(decoded, latent, quantized.indices, quantized.commitment, quantized.perplexity)

    def latent(self, vertices: Tensor) -> Tensor:
        """Meshes (B, V, 3) m -> latents (B, N, d)."""
        out: Tensor = self.layers[: self.config.encoder_layers](vertices)
        return out

    def encode(self, vertices: Tensor) -> Tensor:
        """Meshes (B, V, 3) m -> tokens (B, N) int64, or (B, N, quantizers)."""
        return self.quantizer.encode(self.latent(vertices).transpose(1, 2))

    def decode(self, indices: Tensor) -> Tensor:
        """Tokens (B, N), or (B, N, quantizers) -> meshes (B, V, 3) m."""
        return self.decode_latent(self.quantizer.embed(indices).transpose(1, 2))

    def decode_latent(self, latent: Tensor) -> Tensor:
        """Latents (B, N, d) -> meshes (B, V, 3) m."""
        out: Tensor = self.layers[self.config.encoder_layers :](latent)
        return out


# Released key names -> ours. The released encoder and decoder are the same autoencoder, stored twice.
RULES: Rules = [
    (r"^decoder\.model\.", None),
    (r"^encoder\.model\.weights(\d+)$", r"layers.\1.kernels"),
    (r"^encoder\.model\.w_weights(\d+)$", r"layers.\1.mixture"),
    (r"^encoder\.model\.bias(\d+)$", r"layers.\1.bias"),
    (r"^encoder\.model\.p_neighbors(\d+)$", r"layers.\1.pool"),
    (r"^encoder\.model\.weight_res(\d+)$", r"layers.\1.projection"),
    (r"^vq_vae\.", "quantizer."),
    (r"_embedding\.weight$", "codebook"),
    (r"_ema_w$", "code_sum"),
    (r"_ema_cluster_size$", "code_count"),
]
