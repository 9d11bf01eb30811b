from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mocap.errors import MocapError
from mocap.models import hrnet, vqhps
from mocap.models.checkpoints import renamed
from mocap.models.mesh_graph import connections
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.resnet import ResNet, ResNetConfig
from mocap.models.vqhps import VQHPS, CausalHead, MeshRegressor, VQHPSConfig, turned
from tests.models.test_backbones import released_hrnet, small
from tests.models.test_mesh_graph import grid
from training.projection import orthographic

BACKBONE = ResNetConfig(blocks=(1, 1, 1, 1), width=2)
CONFIG = VQHPSConfig(
    features=BACKBONE.features, width=16, heads=4, hidden=24, tokens=9, codes=12, joints=5, rotation_hidden=20
)
CAUSAL = replace(CONFIG, causal_head=True, head_layers=2)
QUIRK = replace(CAUSAL, attend_over_batch=True)
MESH = MeshVQVAEConfig(
    channels=(6, 6, 4, 6, 6, 3), kernels=(3, 0, 2, 2, 0, 3), carried=(0, 1, 0.5, 0.5, 1, 0), codes=12
)


def regressor(config: VQHPSConfig = CONFIG) -> MeshRegressor:
    torch.manual_seed(0)
    return MeshRegressor(config, ResNet(BACKBONE), ResNet(BACKBONE)).eval()


def whole(config: VQHPSConfig = CONFIG) -> VQHPS:
    network = regressor(config)
    faces, vertices = grid(6)
    joints = torch.rand(config.joints, 39).softmax(-1)
    t_pose = torch.from_numpy(vertices).float()
    return VQHPS(network, MeshVQVAE(MESH, connections(faces, vertices, (9,))), joints, t_pose).eval()


def pictures(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("config", [CONFIG, CAUSAL], ids=["linear", "causal"])
@torch.no_grad()
def test_logits_do_not_depend_on_the_batch(config: VQHPSConfig) -> None:
    network = whole(config)
    batch = network(pictures())
    for number in range(3):
        alone = network(pictures()[number : number + 1])
        torch.testing.assert_close(alone.logits, batch.logits[number : number + 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.R, batch.R[number : number + 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_released_logits_depend_on_the_samples_before() -> None:
    network = whole(QUIRK)
    batch = network(pictures()).logits
    torch.testing.assert_close(network(pictures()[:1]).logits, batch[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(pictures()[:2]).logits, batch[:2], rtol=1e-4, atol=1e-5)
    without_second = network(pictures()[[0, 2]]).logits
    assert (without_second[1] - batch[2]).abs().max() > 1e-3


def test_the_linear_head_has_no_such_switch() -> None:
    with pytest.raises(MocapError, match="expected causal_head with attend_over_batch"):
        replace(CONFIG, attend_over_batch=True)


@torch.no_grad()
def test_alone_in_its_batch_a_token_of_the_released_head_sees_itself_only() -> None:
    head = CausalHead(16, 4, 24, 1, 12, over_batch=True).eval()
    x = torch.randn(1, 9, 16)
    changed = x.clone()
    changed[0, 0] += 1
    torch.testing.assert_close(head(x)[:, 1:], head(changed)[:, 1:])


@torch.no_grad()
def test_causal_head_is_causal() -> None:
    head = CausalHead(16, 4, 24, 2, 12).eval()
    x = torch.randn(2, 9, 16)
    before = head(x)
    for changed in range(9):
        other = x.clone()
        other[:, changed] += 1
        differs = (head(other) != before).any(-1).any(0)
        assert not differs[:changed].any()
        assert differs[changed:].all()


@pytest.mark.parametrize("config", [CONFIG, CAUSAL, QUIRK, replace(CONFIG, refine_rotation=True)])
def test_every_weight_learns_but_the_mesh(config: VQHPSConfig) -> None:
    network = whole(replace(config, dropout=0.0, rotation_dropout=0.0)).train()
    found = network(pictures(6))
    loss = found.logits.square().mean() + orthographic(found.vertices, found.camera).square().mean()
    loss.backward()
    for key, value in network.named_parameters():
        if key.startswith("mesh."):
            assert value.grad is None
        else:
            assert value.grad is not None, key
            # Keys' biases shift all scores of a query alike, which softmax does not see.
            assert value.grad.any() or key.endswith("key.bias"), key


def test_tokens_do_not_teach_rotation_and_camera() -> None:
    """Section 4.3: the logits read both, but their loss trains the canonical mesh alone."""
    network = regressor()
    found = network(pictures(), torch.zeros(3, 5, 3))
    found.logits.logsumexp(-1).mean().backward()
    taught = {key.split(".")[0] for key, value in network.named_parameters() if value.grad is not None}
    assert taught == {"pose_backbone", "embed", "queries", "transformer", "head"}


@torch.no_grad()
def test_linear_logits_read_rotation_and_camera() -> None:
    network = regressor()
    before = network(pictures(), torch.zeros(3, 5, 3)).logits
    after = network(pictures(), torch.ones(3, 5, 3)).logits
    assert (before != after).any(-1).all()
    causal = regressor(CAUSAL)
    torch.testing.assert_close(
        causal(pictures(), torch.zeros(3, 5, 3)).logits, causal(pictures(), torch.ones(3, 5, 3)).logits
    )


@pytest.mark.parametrize("refine", [False, True])
@torch.no_grad()
def test_the_mesh_is_the_canonical_one_turned(refine: bool) -> None:
    network = whole(replace(CONFIG, refine_rotation=refine))
    found = network(pictures())
    torch.testing.assert_close(found.R @ found.R.mT, torch.eye(3).expand(3, 3, 3))
    back = turned(found.vertices, found.R.mT)
    torch.testing.assert_close(back, found.canonical, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.canonical, network.mesh.decode(found.logits.argmax(-1)))
    assert (found.first_R is not None) == refine
    if found.first_R is not None:
        assert (found.first_R - found.R).abs().amax((1, 2)).min() > 1e-3


def test_cameras_of_paper_and_code() -> None:
    points, camera = torch.randn(2, 7, 3), torch.tensor([[2.0, 0.5, -0.25], [0.5, 0.0, 1.0]])
    scale, shift = camera[:, :1], camera[:, 1:]
    code, paper = orthographic(points, camera), orthographic(points, camera, shift_scaled=False)
    torch.testing.assert_close(code, orthographic(points, torch.cat([scale, scale * shift], 1), shift_scaled=False))
    assert (code != paper).any()


@pytest.mark.parametrize("config", [CONFIG, QUIRK, replace(CAUSAL, refine_rotation=True)])
@torch.no_grad()
def test_it_exports(config: VQHPSConfig) -> None:
    network = whole(config)
    program = torch.export.export(network, (pictures(2),), strict=True)
    exported, eager = program.module()(pictures(2)), network(pictures(2))
    torch.testing.assert_close(exported.logits, eager.logits)
    torch.testing.assert_close(exported.vertices, eager.vertices)


FUSED = ("query", "key", "value")
RELEASED = {
    "rotation_backbone.": "backbone_rot.", "pose_backbone.": "backbone_pose.", "head.blocks.": "dec_head.blocks.",
    "head.norm.": "dec_head.ln_f.", "head.logits.": "dec_head.head.", "queries": "mesh_token_embed.weight",
    "embed.": "conv_1x1.", "dense.first.": "fc1.", "dense.second.": "fc2.", "rotation.": "rot_predictor.",
    "camera.": "cam_predictor.", "transformer.encoder_norm.": "transformer.encoder.norm.",
    "transformer.decoder_norm.": "transformer.decoder.norm.", "transformer.": "transformer.",
    "head.": "indices_regressor.",
}  # fmt: skip
NUMBERS = {"conv1": "0", "bn1": "1", **{f"layer{layer}": str(layer + 3) for layer in range(1, 5)}}
PARTS = {
    "feed.wide": "linear1", "feed.narrow": "linear2", "self_norm": "norm1", "self_attention.out": "self_attn.out_proj",
    "cross_attention.out": "multihead_attn.out_proj",
}  # fmt: skip
HEAD_PARTS = {
    "self_norm": "ln1", "feed_norm": "ln2", "self_attention.out": "attn.proj", "self_attention": "attn",
    "feed.wide": "mlp.0", "feed.narrow": "mlp.2",
}  # fmt: skip


def released(network: MeshRegressor) -> dict[str, Tensor]:
    """The weights as a released checkpoint has them: as they came from several graphics cards."""
    own, found = network.state_dict(), {}
    for key, value in own.items():
        start = next(start for start in RELEASED if key.startswith(start))
        name = RELEASED[start] + key[len(start) :]
        if "backbone" in name:
            prefix, module, rest = name.split(".", 2)
            name = f"{prefix}.{NUMBERS[module]}.{rest}"
        elif start == "head.blocks.":
            name = "transformer." + first_replaced(name, HEAD_PARTS)
        elif start.startswith("head.") and "dec_head" in name:
            name = f"transformer.{name}"
        elif start == "transformer.":
            part, number, rest = name.removeprefix("transformer.").split(".", 2)
            norms = {"feed_norm": "norm2"} if part == "encoder" else {"feed_norm": "norm3", "cross_norm": "norm2"}
            rest = first_replaced(rest, PARTS | norms)
            for ours, theirs in (("self_attention", "self_attn"), ("cross_attention", "multihead_attn")):
                if rest.startswith(f"{ours}.query."):
                    value = torch.cat([own[key.replace("query", which)] for which in FUSED])
                    rest = f"{theirs}.in_proj_{rest.rsplit('.', 1)[1]}"
            if rest.startswith(("self_attention", "cross_attention")):
                continue  # keys and values, taken with the queries
            name = f"transformer.{part}.layers.{number}.{rest}"
        found[f"module.{name}"] = value
    if network.config.causal_head:
        for block in range(network.config.head_layers):
            found[f"module.transformer.dec_head.blocks.{block}.attn.mask"] = torch.ones(1, 1, 9, 9)
    return found


def first_replaced(name: str, parts: dict[str, str]) -> str:
    for ours, theirs in parts.items():
        if ours in name:
            return name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("config", [CONFIG, CAUSAL], ids=["linear", "causal"])
@torch.no_grad()
def test_released_weights_load(config: VQHPSConfig) -> None:
    network = regressor(config)
    weights = released(network)
    assert "module.transformer.decoder.layers.0.multihead_attn.in_proj_weight" in weights
    torch.manual_seed(9)
    other = MeshRegressor(config, ResNet(BACKBONE), ResNet(BACKBONE)).eval()
    vqhps.load_released(other, weights, "released")
    start = torch.zeros(3, 5, 3)
    for ours, theirs in zip(network(pictures(), start), other(pictures(), start), strict=True):
        torch.testing.assert_close(ours, theirs)
    del weights["module.fc1.weight"]
    with pytest.raises(MocapError, match=r"dense\.first\.weight"):
        vqhps.load_released(other, weights, "released")


def test_released_hrnets_within_it_get_our_names() -> None:
    backbone = small("hrnet")
    weights = {f"backbone_rot.{key}": value for key, value in released_hrnet(backbone).items()}
    found = renamed(weights, [*vqhps.RULES, *hrnet.RULES])
    assert set(found) == {f"rotation_backbone.{key}" for key in backbone.state_dict()}


def full_size(**changes: bool) -> MeshRegressor:
    with torch.device("meta"):
        return MeshRegressor(VQHPSConfig(**changes), nn.Identity(), nn.Identity())  # type: ignore[arg-type]


def test_sizes_are_the_published_ones() -> None:
    released_model = full_size(causal_head=True, attend_over_batch=True)
    mask = 54 * 54  # is stored too
    assert sum(value.numel() for value in released_model.state_dict().values()) + mask == 11_914_093
    assert full_size().head.weight.shape == (512, 512 + 6 + 3)


@pytest.mark.shared
def test_released_file_lists_the_same_tensors(shared: Path) -> None:
    path = shared / "parity/vqhps/regressor_full_resnet_nobackbone.keys.json"
    listed = json.loads(path.read_text())["keys"]
    weights = {key: torch.empty(shape, device="meta") for key, (shape, _) in listed.items()}
    ours = {key: value.shape for key, value in full_size(causal_head=True).state_dict().items()}
    assert {key: value.shape for key, value in renamed(weights, vqhps.RULES).items()} == ours
