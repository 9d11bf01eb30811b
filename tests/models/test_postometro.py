from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mocap.models.checkpoints import renamed
from mocap.models.pct import MixerSizes
from mocap.models.postometro import (
    LAYERS,
    RULES,
    BodyMesh,
    PostoMetro,
    PostoMetroConfig,
    mesh_neighbours,
    svd_rotations,
    transform,
)
from mocap.models.weights import load_weights

from .test_pct import mixer_names

CONFIG = PostoMetroConfig(
    image_channels=5, layers=1, width=16, hidden=20, reduced_width=8, reduced_hidden=12, heads=4, joints=3, coarse=4,
    middle=7, pose_tokens=6, modulator=MixerSizes(2, 10, 9, 8),
)  # fmt: skip
SMPL = replace(CONFIG, smpl_hidden=11)
STRIP = torch.tensor([[0, 1, 2], [1, 2, 3]])  # two triangles: 0 and 3 share no edge
SAMPLER = torch.rand(9, 7)


def network(config: PostoMetroConfig = CONFIG) -> PostoMetro:
    torch.manual_seed(0)
    return PostoMetro(config, nn.Conv2d(3, 5, 4, 4), mesh_neighbours(STRIP, 4), SAMPLER).eval()


def inputs(count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(count, 3, 12, 12), torch.randn(count, 6, 10), torch.randn(count, 6, 1)


def parts(count: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of a first transformer: camera, context of 9 cells and 6 pose tokens, points, places."""
    return torch.randn(count, 1, 16), torch.randn(count, 15, 16), torch.randn(count, 7, 16), torch.randn(9, 16)


def released_names(config: PostoMetroConfig) -> list[str]:
    linear = ["dim_reduce_enc_cam", "dim_reduce_enc_img", "dim_reduce_enc_pct", "dim_reduce_dec", "xyz_regressor"]
    linear += ["cam_predictor", "conv_1x1", "coarse2intermediate_upsample", "token_mixer.ff.0", "token_mixer.ff.1"]
    linear += ["start_embed", "encoder_layer_norm", "token_mlp"]
    names = [f"{token}_token_embed.weight" for token in ("cam", "joint", "vertex")]
    names += [name for layer in range(config.modulator.layers) for name in mixer_names(f"encoder.{layer}")]
    for transformer in ("transformer_1", "transformer_2"):
        for side, attentions, norms in (("encoder", ["self_attn"], 2), ("decoder", ["self_attn", "multihead_attn"], 3)):
            linear.append(f"{transformer}.{side}.norm")
            for layer in (f"{transformer}.{side}.layers.{number}" for number in range(config.layers)):
                linear += [f"{layer}.linear1", f"{layer}.linear2"]
                linear += [f"{layer}.norm{number + 1}" for number in range(norms)]
                linear += [f"{layer}.{attention}.out_proj" for attention in attentions]
                names += [f"{layer}.{attention}.in_proj_{kind}" for attention in attentions for kind in KINDS]
    if config.smpl_hidden is not None:
        names += [f"smpl_parameter_regressor.regressor.3.{kind}" for kind in KINDS]
        for block, layers in ((0, (0, 1)), (1, (0, 1, 3, 4)), (2, (0, 1, 3, 4))):
            for layer in layers:
                kinds = KINDS if layer in (0, 3) else (*KINDS, "running_mean", "running_var", "num_batches_tracked")
                names += [f"smpl_parameter_regressor.regressor.{block}.fc_block.{layer}.{kind}" for kind in kinds]
    return [*names, *(f"{layer}.{kind}" for layer in linear for kind in KINDS)]


KINDS = ("weight", "bias")


def test_batch_is_single() -> None:
    model, (image, tokens, score) = network(SMPL), inputs(3)
    both, single = model(image, tokens, score), model(image[1:2], tokens[1:2], score[1:2])
    for found, expected in zip(both, single, strict=True):
        torch.testing.assert_close(found[1:2], expected, rtol=1e-4, atol=1e-5)


def test_neighbours_share_an_edge() -> None:
    found = mesh_neighbours(STRIP, 5)
    assert torch.equal(found, found.T)
    assert found.diagonal().all()
    assert found.int().tolist()[0] == [1, 1, 1, 0, 0]
    assert found[4].sum() == 1  # in no triangle: itself alone


def test_vertices_do_not_look_past_their_neighbours() -> None:
    model, (camera, context, points, place) = network(), parts()
    points.requires_grad_()
    for point in range(7):
        _, _, decoded = transform(model.first, camera, context, points, place, model.blocked)
        (influence,) = torch.autograd.grad(decoded[0, point].square().sum(), points)
        assert torch.equal(influence[0].abs().sum(-1) > 0, ~model.blocked[point])
    assert not model.blocked[:3].any()  # joints look at all
    assert not model.blocked[:, :3].any()  # and all at joints
    assert torch.equal(~model.blocked[3:, 3:], mesh_neighbours(STRIP, 4))


def test_positions_belong_to_the_picture_alone() -> None:
    model, (camera, context, points, place) = network(), parts()
    image, pose = context[:, :9], context[:, 9:]

    def decoded(image: Tensor, pose: Tensor) -> Tensor:
        context = torch.cat([image, pose], 1)
        return transform(model.first, camera, context, points, place, model.blocked)[2]

    expected = decoded(image, pose)
    torch.testing.assert_close(decoded(image, pose.flip(1)), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(decoded(image.flip(1), pose), expected, atol=1e-3)


def test_every_part_of_the_input_counts() -> None:
    model, (image, tokens, score) = network(), inputs()
    expected = model(image, tokens, score).vertices
    for other in (model(-image, tokens, score), model(image, -tokens, score), model(image, tokens, score + 5)):
        assert not torch.allclose(other.vertices, expected, atol=1e-4)
    assert not torch.allclose(model(image).vertices, expected, atol=1e-4)


def test_pose_tokens_twice_or_once() -> None:
    twice, once, (image, tokens, score) = network(), network(replace(CONFIG, pose_twice=False)), inputs()
    once.load_state_dict(twice.state_dict())
    assert not torch.allclose(twice(image, tokens, score).joints, once(image, tokens, score).joints, atol=1e-4)
    torch.testing.assert_close(twice(image).joints, once(image).joints)  # the same without them


def test_meshes_are_sampled_from_each_other() -> None:
    model = network()
    found = model(*inputs())
    assert [mesh.shape for mesh in found[1:5]] == [(2, 3, 3), (2, 4, 3), (2, 7, 3), (2, 9, 3)]
    torch.testing.assert_close(found.vertices, SAMPLER @ found.middle)
    weight, bias = model.upsample.weight, model.upsample.bias
    torch.testing.assert_close(found.middle, weight @ found.coarse + bias[:, None])


def test_gradients_reach_every_parameter() -> None:
    model = network(SMPL).train()
    found = model(*inputs(4))
    assert found.R is not None
    total = found.R.square().mul(torch.randn_like(found.R)).sum()
    total = total + sum(x.square().sum() for x in (found.camera, found.joints, found.vertices, found.betas))
    total.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_smpl_head_does_not_move_the_mesh() -> None:
    model = network(SMPL)
    found = model(*inputs())
    assert found.betas is not None
    found.betas.sum().backward()
    assert model.upsample.weight.grad is None
    assert network()(*inputs()).R is None


def test_svd_gives_rotations() -> None:
    raw = torch.randn(50, 3, 3)
    R = svd_rotations(raw)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(50))
    torch.testing.assert_close(svd_rotations(R), R)
    torch.testing.assert_close(svd_rotations(2.5 * raw), R)
    torch.testing.assert_close(svd_rotations(-raw), R)  # a mirrored matrix is negated as a whole


@torch.no_grad()
@pytest.mark.parametrize("config", [CONFIG, replace(SMPL, pose_twice=False)])
def test_network_exports(config: PostoMetroConfig) -> None:
    model, given = network(config), inputs()
    program = torch.export.export(model, given, strict=True).module()
    found, expected = program(*given), model(*given)
    assert isinstance(found, BodyMesh)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("config", [CONFIG, SMPL, replace(SMPL, layers=2)])
def test_released_weights_are_taken_over(config: PostoMetroConfig) -> None:
    model = network(config)
    rules = [*RULES, (r"^backbone\.0\.", "backbone.")]
    own = model.state_dict()
    released: dict[str, Tensor] = {"pct.keypoint_head.x": torch.zeros(1)}
    for name in [*released_names(config), "backbone.0.weight", "backbone.0.bias"]:
        shapes = [own[key].shape for key in renamed({name: torch.empty(3)}, rules)]
        stacked = [sum(shape[0] for shape in shapes), *shapes[0][1:]] if shapes[0] else []
        released[name] = torch.rand(stacked)
    load_weights(model, renamed(released, rules), "released")
    first = model.first.decoder[0].cross_attention
    assert torch.equal(first.key.bias, released["transformer_1.decoder.layers.0.multihead_attn.in_proj_bias"][16:32])
    assert torch.equal(model.reduce_points.weight, released["dim_reduce_dec.weight"])
    assert torch.equal(model.modulator.fuse.norm.bias, released["token_mixer.ff.1.bias"])
    assert torch.equal(model.camera_token, released["cam_token_embed.weight"])


def full_size(layers: int) -> PostoMetro:
    neighbours, sampler = torch.eye(431, dtype=torch.bool), torch.zeros(6890, 1723)
    with torch.device("meta"):
        return PostoMetro(PostoMetroConfig(layers=layers), nn.Identity(), neighbours, sampler)


def test_published_sizes() -> None:
    counts = {name: sum(weight.numel() for weight in full_size(count).parameters()) for name, count in LAYERS.items()}
    assert counts["L"] == 28_401_860
    assert counts["L"] - counts["M"] == counts["M"] - counts["S"]


@pytest.mark.shared
def test_released_network_lists_the_same_tensors(shared: Path) -> None:
    manifest = shared / "parity/postometro/network_full_nobackbone_nopct.keys.json"
    listed = json.loads(manifest.read_text())["keys"]
    with torch.device("meta"):
        released = {key: torch.empty(shape) for key, (shape, _) in listed.items()}
    found = {key: weight.shape for key, weight in renamed(released, RULES).items()}
    assert found == {key: weight.shape for key, weight in full_size(LAYERS["L"]).state_dict().items()}
