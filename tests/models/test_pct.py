from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from mocap.models.checkpoints import renamed, under
from mocap.models.pct import RULES, MixerSizes, PctConfig, PctHead, PctTokenizer, joint_features
from mocap.models.weights import load_weights

CONFIG = PctConfig(
    joints=5, tokens=6, codes=11, code_dim=8, encoder=MixerSizes(2, 12, 10, 7), decoder=MixerSizes(1, 6, 9, 7),
    guide_ratio=0.0, image_channels=4, cells=9, channels=3, conv_blocks=2, classifier=MixerSizes(2, 5, 13, 7),
)  # fmt: skip
GUIDED = replace(CONFIG, guide_ratio=0.25)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def poses(count: int = 3) -> Tensor:
    """The second joint of each is not seen."""
    joints = torch.cat([torch.rand(count, 5, 2), torch.ones(count, 5, 1)], -1)
    joints[:, 1, 2] = 0
    return joints


def mixer_names(prefix: str) -> list[str]:
    parts = ("layernorm1", "MLP_token.ff.0", "MLP_token.ff.3", "layernorm2", "MLP_channel.ff.0", "MLP_channel.ff.3")
    return [f"{prefix}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]


def released_names(config: PctConfig) -> list[str]:
    """Of a head, in the order of nothing in particular."""
    layers = ["start_embed", "encoder_layer_norm", "token_mlp", "feature_embed", "decoder_token_mlp", "decoder_start"]
    layers += ["decoder_layer_norm", "recover_embed", *(["start_img_embed"] if config.guided_width else [])]
    names = ["tokenizer." + name for name in ("invisible_token", "codebook", "ema_w", "ema_cluster_size")]
    names += [f"tokenizer.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    for part, sizes in (("encoder", config.encoder), ("decoder", config.decoder)):
        names += [name for layer in range(sizes.layers) for name in mixer_names(f"tokenizer.{part}.{layer}")]
    names += [name for layer in range(config.classifier.layers) for name in mixer_names(f"mixer_head.{layer}")]
    dense = [f"{part}.ff.{layer}" for part in ("mixer_trans", "mixer_norm_layer") for layer in (0, 1)]
    names += [f"{layer}.{kind}" for layer in [*dense, "cls_pred_layer"] for kind in ("weight", "bias")]
    norms = ["conv_trans.1"]
    for block in (f"conv_head.0.{number}" for number in range(config.conv_blocks)):
        names += [f"{block}.conv1.weight", f"{block}.conv2.weight"]
        norms += [f"{block}.bn1", f"{block}.bn2"]
    return ["conv_trans.0.weight", *names, *(f"{norm}.{kind}" for norm in norms for kind in NORM)]


def test_unseen_joints_have_no_place() -> None:
    tokenizer, joints = PctTokenizer(CONFIG).eval(), poses()
    moved = joints.clone()
    moved[:, 1, :2] += 7
    assert torch.equal(tokenizer.latent(moved), tokenizer.latent(joints))
    moved[:, 2, :2] += 7
    assert not torch.allclose(tokenizer.latent(moved), tokenizer.latent(joints), atol=1e-3)


def test_training_drops_joints_and_inference_does_not() -> None:
    tokenizer = PctTokenizer(replace(CONFIG, drop=1.0)).train()
    first, second = tokenizer.latent(poses(1)), tokenizer.latent(poses(1))
    assert torch.equal(first, second)  # nothing of the poses is left
    tokenizer.eval()
    assert not torch.allclose(tokenizer.latent(poses(1)), tokenizer.latent(poses(1)))
    tokenizer = PctTokenizer(replace(CONFIG, drop=0.0)).train()
    joints = poses()
    assert torch.equal(tokenizer.latent(joints), tokenizer.eval().latent(joints))


def test_codebook_moves_in_training_only() -> None:
    tokenizer = PctTokenizer(CONFIG).eval()
    before = tokenizer.quantizer.codebook.clone()
    tokenizer(poses())
    assert torch.equal(tokenizer.quantizer.codebook, before)
    tokenizer.train()(poses())
    assert not torch.equal(tokenizer.quantizer.codebook, before)


def test_batch_is_single() -> None:
    tokenizer, head = PctTokenizer(CONFIG).eval(), PctHead(CONFIG).eval()
    joints, features = poses(), torch.randn(3, 4, 3, 3)
    torch.testing.assert_close(tokenizer(joints).joints[1:2], tokenizer(joints[1:2]).joints)
    torch.testing.assert_close(head(features).logits[1:2], head(features[1:2]).logits)


def test_gradients_reach_every_parameter() -> None:
    tokenizer, joints, features = PctTokenizer(GUIDED).train(), poses(), torch.randn(3, 5, 4)
    found = tokenizer(joints, features)
    (found.joints.square().sum() + found.commitment).backward()
    head = PctHead(CONFIG).train()
    tokens = head(torch.randn(3, 4, 3, 3))
    (head.tokenizer.decode(tokens.embeddings).square().sum() + tokens.score.sum()).backward()
    own = {name: weight for name, weight in head.named_parameters() if not name.startswith("tokenizer.")}
    for name, weight in {**dict(tokenizer.named_parameters()), **own}.items():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_reconstruction_is_what_its_tokens_decode_to() -> None:
    tokenizer, joints = PctTokenizer(CONFIG).eval(), poses()
    found = tokenizer(joints)
    assert torch.equal(found.indices, tokenizer.encode(joints))
    torch.testing.assert_close(tokenizer.decode(tokenizer.look_up(found.indices)), found.joints)


def test_logits_are_read_by_probability() -> None:
    head, tokens = PctHead(CONFIG).eval(), torch.randint(11, (2, 6))
    sure = 1e4 * torch.nn.functional.one_hot(tokens, 11).float()
    found = head.read(sure)
    torch.testing.assert_close(found.embeddings, head.tokenizer.look_up(tokens))
    assert torch.equal(found.score, torch.full((2, 6, 1), 1e4))  # the largest logit, no probability
    even = head.read(torch.zeros(2, 6, 11)).embeddings
    torch.testing.assert_close(even, head.tokenizer.quantizer.codebook.mean(0).expand_as(even))


def test_guidance_wants_features_and_uses_them() -> None:
    tokenizer, joints = PctTokenizer(GUIDED).eval(), poses()
    joints[..., 2] = 1
    features = torch.randn(3, 5, 4)
    assert not torch.allclose(tokenizer.latent(joints, features), tokenizer.latent(joints, -features), atol=1e-3)
    with pytest.raises(MocapError, match=r"expected features of the picture, since its guide ratio is 0\.25"):
        tokenizer.latent(joints)
    with pytest.raises(MocapError, match="expected no features of the picture"):
        PctTokenizer(CONFIG).latent(joints, features)


def test_features_are_those_of_the_nearest_cell() -> None:
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    cells = torch.stack([columns, rows])[None]  # each cell holds its own column and row
    joints = torch.tensor([[[0.0, 0.0], [15.9, 16.0], [48.0, 32.0], [-50.0, 200.0]]])  # px of a crop of 128
    assert joint_features(cells, joints, 128).tolist() == [[[0, 0], [0, 1], [2, 1], [0, 3]]]


@torch.no_grad()
def test_head_and_encoder_export() -> None:
    head, features, joints = PctHead(CONFIG).eval(), torch.randn(2, 4, 3, 3), poses(2)
    program = torch.export.export(head, (features,), strict=True).module()
    torch.testing.assert_close(program(features), head(features))

    class Encode(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = head.tokenizer

        def forward(self, joints: Tensor) -> Tensor:
            return self.tokenizer.encode(joints)

    program = torch.export.export(Encode().eval(), (joints,), strict=True).module()
    assert torch.equal(program(joints), head.tokenizer.encode(joints))


@pytest.mark.parametrize("config", [CONFIG, GUIDED])
def test_released_weights_are_taken_over(config: PctConfig) -> None:
    head = PctHead(config).eval()
    own, names = head.state_dict(), released_names(config)
    ours = {name: next(iter(renamed({name: torch.empty(0)}, RULES))) for name in names}
    assert sorted(ours.values()) == sorted(own)
    released = {name: torch.rand_like(own[key].float()).to(own[key].dtype) for name, key in ours.items()}
    whole = {f"keypoint_head.{name}": value for name, value in released.items()} | {"backbone.x": torch.zeros(1)}
    load_weights(head, renamed(whole, RULES), "released")
    assert torch.equal(head.tokenizer.unseen, released["tokenizer.invisible_token"])
    assert torch.equal(head.tokenizer.quantizer.code_count, released["tokenizer.ema_cluster_size"])
    assert torch.equal(head.tokenizer.to_tokens.weight, released["tokenizer.token_mlp.weight"])
    assert torch.equal(head.tokenizer.to_joints.weight, released["tokenizer.decoder_token_mlp.weight"])
    assert torch.equal(head.mixers[1].mix.narrow.weight, released["mixer_head.1.MLP_channel.ff.3.weight"])
    tokenizer = PctTokenizer(config)
    load_weights(tokenizer, renamed(under("tokenizer.", released), RULES), "released")
    assert torch.equal(tokenizer.place.weight, released["tokenizer.recover_embed.weight"])


def test_released_size() -> None:
    with torch.device("meta"):
        heads = [PctHead(PctConfig(guide_ratio=ratio)) for ratio in (0.0, 0.5)]
    sizes = [sum(weight.numel() for weight in head.state_dict().values()) for head in heads]
    assert sizes == [43_080_987, 43_342_619]


@pytest.mark.shared
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_released_file_lists_the_same_tensors(ratio: float, shared: Path) -> None:
    listed = json.loads((shared / f"parity/pct/head_full_guide{ratio}.keys.json").read_text())["keys"]
    with torch.device("meta"):
        released = {key: torch.empty(shape) for key, (shape, _) in listed.items()}
        head = PctHead(PctConfig(guide_ratio=ratio))
    found = {key: weight.shape for key, weight in renamed(released, RULES).items()}
    assert found == {key: weight.shape for key, weight in head.state_dict().items()}
