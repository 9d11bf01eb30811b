from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mocap.errors import MocapError
from mocap.models import mesh_vqvae
from mocap.models.checkpoints import renamed
from mocap.models.mesh_graph import Connections, connections
from mocap.models.mesh_vqvae import MeshLayer, MeshVQVAE, MeshVQVAEConfig
from mocap.models.weights import load_weights
from tests.models.test_mesh_graph import grid

CONFIG = MeshVQVAEConfig(
    channels=(6, 6, 4, 6, 6, 3), kernels=(3, 0, 2, 2, 0, 3), carried=(0, 1, 0.5, 0.5, 1, 0), codes=16
)  # one level down and back; where channels change, what is carried over is projected


def small(config: MeshVQVAEConfig = CONFIG) -> MeshVQVAE:
    torch.manual_seed(0)
    return MeshVQVAE(config, connections(*grid(6), counts=(9,))).eval()


def meshes(batch: int = 3) -> Tensor:
    return torch.randn(batch, 39, 3, generator=torch.Generator().manual_seed(1))


def slow_layer(layer: MeshLayer, found: Connections, x: Tensor, carried: float) -> Tensor:
    """Vertex by vertex and edge by edge, one mesh (N, inputs) -> (P, outputs)."""
    out = []
    for row, vertex in enumerate(found.rows):
        near = [int(other) for other in vertex[1 : 1 + 2 * vertex[0] : 2]]
        convolved = torch.zeros(layer.outputs)
        if carried < 1:
            convolved = convolved + layer.bias
            for edge, other in enumerate(near):
                kernel = (layer.mixture[row, edge, :, None] * layer.kernels).sum(0).reshape(layer.outputs, -1)
                convolved = convolved + kernel @ x[other]
            convolved = F.elu(convolved) if layer.activate else convolved
        mean = x[row] if row < len(x) else x[0]
        if layer.pooled:
            share = layer.pool[row, : len(near)].abs()
            mean = sum((part * x[other] for part, other in zip(share / share.sum(), near, strict=True)), torch.zeros(1))
        if layer.projected:
            mean = layer.projection @ mean
        out.append((1 - carried) ** 0.5 * convolved + carried**0.5 * mean if carried else convolved)
    return torch.stack(out)


@pytest.mark.parametrize("carried", [0, 0.3, 1])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("outputs", [3, 5])
@torch.no_grad()
def test_a_layer_agrees_with_the_slow_reference(carried: float, number: int, outputs: int) -> None:
    torch.manual_seed(0)
    found = connections(*grid(6), counts=(9,))[number]
    layer = MeshLayer(found, 3, outputs, 4, carried)
    x = torch.randn(2, found.inputs, 3)
    expected = torch.stack([slow_layer(layer, found, mesh, carried) for mesh in x])
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pooling_keeps_what_is_the_same_everywhere() -> None:
    """Its weights sum to 1, padding apart."""
    for found in connections(*grid(6), counts=(9,)):
        if found.inputs != found.outputs:
            layer = MeshLayer(found, 3, 3, 0, carried=1)
            torch.testing.assert_close(layer(torch.ones(1, found.inputs, 3)), torch.ones(1, found.outputs, 3))


@torch.no_grad()
def test_a_mesh_alone_is_the_mesh_in_a_batch() -> None:
    network = small()
    whole, alone = network(meshes()), network(meshes()[1:2])
    torch.testing.assert_close(alone.vertices, whole.vertices[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.indices, whole.indices[1:2])


@pytest.mark.parametrize("quantizers", [1, 3])
@torch.no_grad()
def test_tokens_are_the_reconstruction(quantizers: int) -> None:
    network = small(MeshVQVAEConfig(CONFIG.channels, CONFIG.kernels, CONFIG.carried, codes=16, quantizers=quantizers))
    found, tokens = network(meshes()), network.encode(meshes())
    assert tokens.shape == ((3, 9) if quantizers == 1 else (3, 9, quantizers))
    torch.testing.assert_close(found.indices, tokens)
    torch.testing.assert_close(network.decode(tokens), found.vertices, rtol=1e-4, atol=1e-4)
    assert found.latent.shape == (3, 9, CONFIG.code_dim)


@torch.no_grad()
def test_later_quantisers_code_what_is_left() -> None:
    network = small(MeshVQVAEConfig(CONFIG.channels, CONFIG.kernels, CONFIG.carried, codes=64, quantizers=4))
    z, quantizer = torch.randn(4, CONFIG.code_dim, 50), network.quantizer
    for number, layer in enumerate(quantizer.layers):  # type: ignore[union-attr]
        layer.set_codebook(torch.cat([torch.zeros(1, 4), torch.randn(63, 4) * 0.5**number]))  # type: ignore[operator]
    indices = quantizer.encode(z)
    errors = []
    for used in range(1, 5):  # the code 0 of the others adds nothing
        kept = torch.where(torch.arange(4) < used, indices, torch.zeros_like(indices))
        errors.append(float((quantizer.embed(kept) - z).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_one_shared_codebook_is_one() -> None:
    config = MeshVQVAEConfig(
        CONFIG.channels, CONFIG.kernels, CONFIG.carried, codes=16, quantizers=3, shared_codebook=True
    )
    quantizer = small(config).quantizer
    assert len({id(layer) for layer in quantizer.layers}) == 1  # type: ignore[union-attr]


def test_every_weight_learns_and_the_codebook_follows() -> None:
    network = small().train()
    before = network.quantizer.codebook.clone()  # type: ignore[union-attr, operator]
    found = network(meshes())
    (found.vertices.square().mean() + found.commitment).backward()
    assert [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
    assert not torch.equal(network.quantizer.codebook, before)  # type: ignore[arg-type]


@torch.no_grad()
def test_decoder_and_encoder_export() -> None:
    network = small()

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, vertices: Tensor) -> Tensor:
            return self.network.decode(self.network.encode(vertices))

    program = torch.export.export(Both(), (meshes(),), strict=True)
    torch.testing.assert_close(program.module()(meshes()), network(meshes()).vertices, rtol=1e-4, atol=1e-4)


RELEASED = {
    "kernels": "weights", "mixture": "w_weights", "bias": "bias", "pool": "p_neighbors", "projection": "weight_res",
    "codebook": "_embedding.weight", "code_sum": "_ema_w", "code_count": "_ema_cluster_size",
}  # fmt: skip


def released(network: MeshVQVAE) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        *start, last = key.split(".")
        if start[0] == "quantizer":
            found[".".join(["vq_vae", *start[1:], RELEASED[last]])] = value
        else:
            found |= {f"{half}.model.{RELEASED[last]}{start[1]}": value for half in ("encoder", "decoder")}
    return found


@pytest.mark.parametrize("quantizers", [1, 2])
@pytest.mark.parametrize("vertex_bias", [False, True])
@torch.no_grad()
def test_released_weights_load(quantizers: int, vertex_bias: bool) -> None:
    config = MeshVQVAEConfig(
        CONFIG.channels, CONFIG.kernels, CONFIG.carried, vertex_bias, codes=16, quantizers=quantizers
    )
    network = small(config)
    weights = released(network)
    torch.manual_seed(7)
    other = MeshVQVAE(config, connections(*grid(6), counts=(9,))).eval()
    load_weights(other, renamed(weights, mesh_vqvae.RULES), "released")
    torch.testing.assert_close(other(meshes()), network(meshes()))
    with pytest.raises(MocapError, match=r"layers\.1\.pool"):
        load_weights(other, renamed(weights | {"encoder.model.p_neighbors1": torch.zeros(2)}, mesh_vqvae.RULES), "it")


def test_connections_that_do_not_fit_are_refused() -> None:
    found = connections(*grid(6), counts=(9,))
    with pytest.raises(MocapError, match="expected connections of 6 layers, found 5"):
        MeshVQVAE(CONFIG, found[:5])
    with pytest.raises(MocapError, match="expected connections to 9 vertices for layer 2, found some to 39"):
        MeshVQVAE(CONFIG, [found[0], found[1], found[0], *found[3:]])
    with pytest.raises(MocapError, match=r"expected lists of one even length, found lengths \[2, 14\]"):
        MeshVQVAEConfig(channels=(9, 3))


LEVELS = [
    (6890, 6890, 10), (6890, 1925, 32), (1925, 1925, 21), (1925, 400, 56), (400, 400, 26), (400, 54, 66), (54, 54, 19),
    (54, 54, 19), (54, 400, 11), (400, 400, 26), (400, 1925, 14), (1925, 1925, 21), (1925, 6890, 11), (6890, 6890, 10),
]  # fmt: skip


def full_size() -> MeshVQVAE:
    rows = [Connections(np.zeros((outputs, 1 + 2 * most), np.int64) + 1, n) for n, outputs, most in LEVELS]
    return MeshVQVAE(MeshVQVAEConfig(), rows)


def test_size_is_the_published_one() -> None:
    """The released file stores 5,160,660 numbers: the autoencoder twice, and the codebook with its averages."""
    elements = sum(value.numel() for value in full_size().parameters())
    assert 2 * elements + 2 * 512 * 9 + 512 == 5_160_660


@pytest.mark.shared
def test_released_file_lists_the_same_tensors(shared: Path) -> None:
    listed = json.loads((shared / "parity/vqhps/mesh_vqvae_full.keys.json").read_text())["keys"]
    weights = {key: torch.empty(shape, device="meta") for key, (shape, _) in listed.items()}
    ours = {key: value.shape for key, value in full_size().state_dict().items()}
    assert {key: value.shape for key, value in renamed(weights, mesh_vqvae.RULES).items()} == ours
