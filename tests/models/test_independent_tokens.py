from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import engines
from engines.parity import relative_error
from mocap.body.torch_rotations import random_rotations
from mocap.errors import MocapError
from mocap.models import independent_tokens as tokens
from mocap.models.checkpoints import renamed
from mocap.models.independent_tokens import IndependentTokens, IndependentTokensConfig, Tokens
from mocap.models.resnet_v2 import ResNetV2Config

SMALL = IndependentTokensConfig(
    picture=16, backbone=None, patch=8, width=48, depth=2, heads=4, hidden=64,
    temporal_depth=2, temporal_heads=4, frames=6,
)  # fmt: skip
BACKBONE = ResNetV2Config(layers=(1, 1), channels=(16, 32), stem=8, groups=4)
VARIANTS = {
    "joint": SMALL,
    "pose": replace(SMALL, temporal="pose"),
    "frame": replace(SMALL, temporal=None),
    "parallel": replace(SMALL, temporal=None, parallel=True),
    "hybrid": replace(SMALL, backbone=BACKBONE),
    "no places in time": replace(SMALL, frames=None),
}
FULL_SIZE = 76_673_363  # elements of the released file


def network(config: IndependentTokensConfig) -> IndependentTokens:
    """With weights large enough for everything to matter."""
    torch.manual_seed(0)
    model = IndependentTokens(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def clip(clips: int = 2, frames: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(clips, frames, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)


@pytest.fixture(params=sorted(VARIANTS))
def model(request: pytest.FixtureRequest) -> IndependentTokens:
    return network(VARIANTS[request.param])


@torch.no_grad()
def test_a_batch_is_its_clips(model: IndependentTokens) -> None:
    pictures = clip()
    out = model(pictures)
    assert {name: value.shape for name, value in out.items()} == {
        "R": (2, 4, 24, 3, 3), "betas": (2, 4, 10), "camera": (2, 4, 3),
    }  # fmt: skip
    for index in range(2):
        assert_same(model(pictures[index : index + 1]), {name: x[index : index + 1] for name, x in out.items()})
    assert (out["R"][0] - out["R"][1]).abs().max() > 1e-3


@torch.no_grad()
def test_without_time_a_clip_is_its_pictures() -> None:
    model, pictures = network(VARIANTS["frame"]), clip()
    alone = model(pictures.flatten(0, 1)[:, None])
    assert_same(model(pictures), {name: x[:, 0].unflatten(0, (2, 4)) for name, x in alone.items()})


@torch.no_grad()
@pytest.mark.parametrize("variant", ["joint", "pose", "hybrid"])
def test_live_each_frame_is_encoded_once(variant: str) -> None:
    model, pictures = network(VARIANTS[variant]), clip(clips=1, frames=9)
    past: list[Tokens] = []
    for frame in range(9):
        past = [*past, model.encode(pictures[:, frame : frame + 1])][-6:]
        window = Tokens(*(torch.cat(parts, 1) for parts in zip(*past, strict=True)))
        first = max(0, frame - 5)
        assert_same(model.decode(window), model(pictures[:, first : frame + 1]))


@torch.no_grad()
@pytest.mark.parametrize(("variant", "sees"), [("joint", False), ("frame", False), ("parallel", True)])
def test_only_parallel_blocks_let_frames_see_each_other(variant: str, sees: bool) -> None:
    model, pictures = network(VARIANTS[variant]), clip()
    changed = pictures.clone()
    changed[:, 1] += 1
    moved = (model.encode(changed).joints - model.encode(pictures).joints).abs().amax((0, 2, 3)) > 1e-5
    assert moved.tolist() == [sees, True, sees, sees]


@torch.no_grad()
@pytest.mark.parametrize(("variant", "others"), [("joint", False), ("pose", True), ("frame", False)])
def test_in_time_a_joint_sees_itself_or_the_whole_pose(variant: str, others: bool) -> None:
    model = network(VARIANTS[variant])
    before = torch.randn(2, 4, 24, model.config.joint_width)
    after = before.clone()
    after[:, 1, 5] += torch.randn(model.config.joint_width)
    moved = (model.over_time(after) - model.over_time(before)).abs().amax((0, 3)) > 1e-5  # (T, 24)
    time = variant != "frame"
    assert moved[1, 5]
    assert moved[3, 5] == time
    assert moved[:, :5].all() == others == moved[:, :5].any()


def test_gradients_reach_every_parameter(model: IndependentTokens) -> None:
    sum((x * torch.randn_like(x)).sum() for x in model.train()(clip()).values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("key.bias"):  # what is added to all keys alike changes no softmax
            assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_it_exports(model: IndependentTokens) -> None:
    program = torch.export.export(model, (clip(),), strict=True)
    assert_same(program.module()(clip(seed=1)), model(clip(seed=1)))


class Flat(nn.Module):
    """Single pictures (B, 3, S, S), as a live loop has them."""

    def __init__(self, model: IndependentTokens) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return self.model(picture[:, None])  # type: ignore[no-any-return]


@torch.no_grad()
def test_openvino_computes_the_same(tmp_path: Path) -> None:
    flat, pictures = Flat(network(VARIANTS["hybrid"])).eval(), clip(frames=1)[:, 0]
    spec = engines.EngineSpec({"picture": engines.TensorSpec((3, 16, 16))}, ("R", "betas", "camera"), max_batch=2)
    engine = engines.compile(engines.of_module(flat, spec, "int"), "openvino", cache_dir=tmp_path)
    found, expected = engine({"picture": pictures.numpy()}), flat(pictures)
    for name in spec.outputs:
        assert relative_error(np.asarray(found[name]), expected[name].numpy()) < 1e-3, name


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 12, 64])
def test_places_in_time_are_interpolated(frames: int) -> None:
    place = torch.randn(1, 6, 3)
    expected = F.interpolate(place.mT, frames, mode="linear").mT
    torch.testing.assert_close(tokens.in_time(place, frames), expected)


def test_6d_vectors_are_two_columns_by_turns() -> None:
    R = random_rotations((5, 24))
    torch.testing.assert_close(tokens.interleaved6d_to_matrix(R[..., :2].flatten(-2)), R)


def test_the_camera_stands_where_its_scale_says() -> None:
    t = tokens.camera_translation(torch.tensor([[0.5, 0.1, -0.2], [1.0, 0.1, -0.2]]), focal=1000.0, square=200.0)
    torch.testing.assert_close(t, torch.tensor([[0.1, -0.2, 20.0], [0.1, -0.2, 10.0]]))


def test_full_size() -> None:
    with torch.device("meta"):
        model = IndependentTokens()
        out = model(torch.empty(2, 16, 3, 224, 224))
    assert out["R"].shape == (2, 16, 24, 3, 3)
    assert model.config.patches == 196
    assert sum(x.numel() for x in model.state_dict().values()) == FULL_SIZE


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(MocapError, match="expected a width that 5 divides, found 48"):
        replace(SMALL, heads=5)
    with pytest.raises(MocapError, match="expected a width that 24 divides, found 40"):
        replace(SMALL, width=40, temporal="pose")


def released(config: IndependentTokensConfig, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the released names."""
    D, patch = config.width, config.patch
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, D), "pos_embed": (1, 1 + config.patches, D), "joint3d_tokens": (1, 24, D),
        "shape_token": (1, 1, D), "cam_token": (1, 1, D), "temporal_pos_embedding": (1, config.frames or 0, D),
        "norm.weight": (D,), "norm.bias": (D,),
    }  # fmt: skip
    linear = {
        "joint3d_head": (6, D),
        "shape_head": (10, D),
        "cam_head": (3, D),
        "patch_embed.proj": (D, 3, patch, patch),
    }
    if config.backbone:
        linear["patch_embed.proj"] = (D, config.backbone.channels[-1], 1, 1)
        shapes |= released_backbone(config.backbone)
    for part, depth in (("blocks", config.depth), ("temporal_transformer", config.temporal_depth)):
        for block in (f"{part}.{index}" for index in range(depth)):
            shapes |= {f"{block}.{norm}.{which}": (D,) for norm in ("norm1", "norm2") for which in ("weight", "bias")}
            linear |= {f"{block}.attn.qkv": (3 * D, D), f"{block}.attn.proj": (D, D)}
            linear |= {f"{block}.mlp.fc1": (config.hidden, D), f"{block}.mlp.fc2": (D, config.hidden)}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def released_backbone(config: ResNetV2Config) -> dict[str, tuple[int, ...]]:
    convs = {"stem.conv": (config.stem, 3, 7, 7)}
    inputs = config.stem
    for stage, (depth, outputs) in enumerate(zip(config.layers, config.channels, strict=True)):
        for index in range(depth):
            block, inner = f"stages.{stage}.blocks.{index}", outputs // 4
            convs[f"{block}.conv1"] = (inner, inputs, 1, 1)
            convs[f"{block}.conv2"] = (inner, inner, 3, 3)
            convs[f"{block}.conv3"] = (outputs, inner, 1, 1)
            if index == 0:
                convs[f"{block}.downsample.conv"] = (outputs, inputs, 1, 1)
            inputs = outputs
    shapes: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in convs.items()}
    for name, shape in convs.items():
        shapes |= {f"{name.replace('conv', 'norm')}.{which}": shape[:1] for which in ("weight", "bias")}
    return {f"patch_embed.backbone.{name}": shape for name, shape in shapes.items()}


@pytest.mark.parametrize("variant", ["joint", "hybrid"])
def test_released_weights_find_their_places(variant: str) -> None:
    config = VARIANTS[variant]
    weights = released(config)
    model = tokens.from_released(weights, config, "file")
    assert not model.training
    ours = model.state_dict()
    queries, keys, values = weights["temporal_transformer.1.attn.qkv.weight"].chunk(3)
    for name, part in (("query", queries), ("key", keys), ("value", values)):
        assert torch.equal(ours[f"temporal.1.self_attention.{name}.weight"], part)
    assert torch.equal(ours["blocks.0.self_attention.out.bias"], weights["blocks.0.attn.proj.bias"])
    assert torch.equal(ours["blocks.1.feed_norm.weight"], weights["blocks.1.norm2.weight"])
    assert torch.equal(ours["camera_head.bias"], weights["cam_head.bias"])
    assert sum(x.numel() for x in weights.values()) == sum(x.numel() for x in ours.values())
    if config.backbone:
        old, new = "patch_embed.backbone.stages.1.blocks.0.", "backbone.stages.1.0."
        assert torch.equal(ours[f"{new}spread.norm.bias"], weights[f"{old}norm2.bias"])
        assert torch.equal(ours[f"{new}shortcut.conv.weight"], weights[f"{old}downsample.conv.weight"])


@torch.no_grad()
def test_the_released_body_and_prefix_are_dropped_and_time_may_be_left_out() -> None:
    weights = released(SMALL)
    expected = tokens.from_released(weights, SMALL, "file")(clip())
    spoken = {f"module.{name}": x for name, x in weights.items()} | {"module.smpl.v_template": torch.zeros(9, 3)}
    assert_same(tokens.from_released(spoken, SMALL, "file")(clip()), expected)
    still = tokens.from_released(weights, VARIANTS["frame"], "file")(clip())
    assert torch.equal(still["betas"], expected["betas"])
    assert not torch.equal(still["R"], expected["R"])
    tokens.from_released(weights, VARIANTS["no places in time"], "file")


def test_the_file_says_how_many_places_in_time_there_are() -> None:
    """The released Model-2 has 64 instead of 16."""
    weights = released(replace(SMALL, frames=11))
    assert tokens.from_released(weights, SMALL, "file").config.frames == 11


def test_other_weights_are_refused() -> None:
    weights = released(SMALL)
    with pytest.raises(MocapError, match=r"file: expected .* found none for 'class_token'"):
        tokens.from_released({name: x for name, x in weights.items() if name != "cls_token"}, SMALL, "file")
    with pytest.raises(MocapError, match="found also 'extra'"):
        tokens.from_released({**weights, "extra": torch.zeros(1)}, SMALL, "file")
    with pytest.raises(MocapError, match="expected 'place' of size 1 × 10 × 48, found 1 × 5 × 48"):
        tokens.from_released(weights, replace(SMALL, picture=24), "file")


@pytest.mark.shared
def test_the_released_file_is_the_full_size(shared: Path) -> None:
    manifest = json.loads((shared / "parity" / "int" / "token3d_full.keys.json").read_text())
    with torch.device("meta"):
        weights = {name: torch.empty(shape) for name, (shape, _) in manifest["keys"].items()}
        weights["smpl.v_template"] = torch.empty(6890, 3)
        own = IndependentTokens().state_dict()
    found = renamed(weights, tokens.RULES)
    assert {name: x.shape for name, x in found.items()} == {name: x.shape for name, x in own.items()}
    assert manifest["elements"] == FULL_SIZE
