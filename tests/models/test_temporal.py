from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import engines
from engines.parity import relative_error
from mocap.errors import MocapError
from mocap.models.temporal import JointTemporal, TemporalConfig, TemporalStep

SMALL = TemporalConfig(width=16, depth=2, heads=2, window=6)
JOINTS, FRAMES = 5, 15


@pytest.fixture
def temporal() -> JointTemporal:
    torch.manual_seed(0)
    model = JointTemporal(SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # fresh blocks are the identity
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def clip(persons: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(persons, FRAMES, JOINTS, SMALL.width, generator=generator)
    return tokens, (0.02 + 0.05 * torch.rand(persons, FRAMES, generator=generator)).cumsum(1)


def offline(model: JointTemporal, tokens: Tensor, t: Tensor, causal: bool = True) -> Tensor:
    everyone = torch.ones(len(t), dtype=torch.bool)
    with torch.no_grad():
        out: Tensor = model(tokens, t, torch.ones_like(t, dtype=torch.bool), everyone & causal)
    return out


def stream(model: JointTemporal, tokens: Tensor, t: Tensor, resets: dict[int, list[float]] | None = None) -> Tensor:
    step = TemporalStep(model)
    past, out = step.start(len(t), JOINTS), []
    for frame in range(t.shape[1]):
        past["known"] *= 1 - torch.tensor((resets or {}).get(frame, [0.0] * len(t)))[:, None]
        with torch.no_grad():
            new = step(tokens[:, frame], **past)
        out.append(new["tokens"])
        write(past, new, t, frame)
    return torch.stack(out, 1)


def write(past: dict[str, Any], new: dict[str, Any], t: Any, frame: int) -> None:
    """Over the oldest; then the past's ages are those of the frame after ``frame``."""
    slot = frame % past["age"].shape[1]
    for name in ("key", "value"):
        past[f"{name}s"][..., slot, :] = new[name]
    past["age"][:, slot], past["known"][:, slot] = 0, 1
    if frame + 1 < t.shape[1]:
        past["age"] += (t[:, frame + 1] - t[:, frame])[:, None]


def test_streaming_equals_the_causal_clip(temporal: JointTemporal) -> None:
    tokens, t = clip()
    torch.testing.assert_close(stream(temporal, tokens, t), offline(temporal, tokens, t), rtol=1e-5, atol=1e-5)


def test_a_causal_frame_does_not_know_the_future(temporal: JointTemporal) -> None:
    tokens, t = clip()
    changed = tokens.clone()
    changed[:, 9:] = clip(seed=1)[0][:, 9:]
    for causal, same in ((True, True), (False, False)):
        before, after = offline(temporal, tokens, t, causal)[:, :9], offline(temporal, changed, t, causal)[:, :9]
        assert torch.equal(before, after) == same


def test_what_is_long_ago_is_not_seen(temporal: JointTemporal) -> None:
    """At a low frame rate the window is longer than anything that a network was taught with."""
    tokens, _ = clip()
    t = torch.arange(FRAMES).expand(3, -1) * 0.3  # three frames back are within the 1.1 s
    changed = tokens.clone()
    changed[:, 0] = 0
    for out in (lambda x: offline(temporal, x, t), lambda x: stream(temporal, x, t)):
        difference = (out(changed) - out(tokens)).abs().amax((0, 2, 3))
        assert (difference[: 3 * SMALL.depth + 1] > 0).all()
        assert (difference[3 * SMALL.depth + 1 :] == 0).all()
    torch.testing.assert_close(stream(temporal, tokens, t), offline(temporal, tokens, t), rtol=1e-4, atol=1e-4)


def test_the_window_ends(temporal: JointTemporal) -> None:
    tokens, t = clip()
    changed = tokens.clone()
    changed[:, 0] = 0
    difference = (offline(temporal, changed, t) - offline(temporal, tokens, t)).abs().amax((0, 2, 3))
    reach = SMALL.depth * (SMALL.window - 1)
    assert (difference[: reach + 1] > 0).all()
    assert (difference[reach + 1 :] == 0).all()


def test_joints_do_not_see_each_other(temporal: JointTemporal) -> None:
    tokens, t = clip()
    changed = tokens.clone()
    changed[:, :, 2] += 1
    moved = (offline(temporal, changed, t, causal=False) - offline(temporal, tokens, t, causal=False)).abs()
    assert (moved.amax((0, 1, 3)) > 0).tolist() == [False, False, True, False, False]


def test_a_person_who_enters_changes_no_other(temporal: JointTemporal) -> None:
    tokens, t = clip()
    alone = stream(temporal, tokens, t)
    entered = tokens.clone()
    entered[1, 7:] = clip(seed=2)[0][1, 7:]
    out = stream(temporal, entered, t, resets={7: [0.0, 1.0, 0.0]})
    assert torch.equal(out[[0, 2]], alone[[0, 2]])
    fresh = stream(temporal, entered[1:2, 7:], t[1:2, 7:])
    torch.testing.assert_close(out[1:2, 7:], fresh, rtol=0, atol=1e-5)  # nothing of who was there before


def test_the_clocks_zero_does_not_matter_but_time_does(temporal: JointTemporal) -> None:
    tokens, t = clip()
    t = (t * 64).round() / 64  # exact in float32, also after a day
    torch.testing.assert_close(offline(temporal, tokens, t), offline(temporal, tokens, t + 86_400), rtol=0, atol=1e-5)
    assert (offline(temporal, tokens, t) - offline(temporal, tokens, 2 * t)).abs().max() > 1e-2


def test_unknown_frames_are_not_looked_at(temporal: JointTemporal) -> None:
    tokens, t = clip()
    known = torch.ones_like(t, dtype=torch.bool)
    known[:, [3, 4, 8]] = False
    changed = tokens.clone()
    changed[:, [3, 4, 8]] = 100.0
    both = torch.zeros(len(t), dtype=torch.bool)
    with torch.no_grad():
        before, after = (temporal(given, t, known, both) for given in (tokens, changed))
    assert torch.equal(before[known], after[known])
    assert torch.isfinite(after).all()


def test_a_fresh_transformer_passes_its_tokens_on() -> None:
    tokens, t = clip()
    assert torch.equal(offline(JointTemporal(SMALL), tokens, t), tokens)


def test_a_step_runs_in_every_engine(temporal: JointTemporal, tmp_path: Path) -> None:
    step = TemporalStep(temporal).eval()
    tokens, t = clip(persons=2)
    inputs = {"tokens": tokens[:, 0], **step.start(2, JOINTS)}
    spec = engines.EngineSpec(
        inputs={name: engines.TensorSpec(np.shape(value)[1:]) for name, value in inputs.items()},
        outputs=("tokens", "key", "value"),
        max_batch=2,
    )
    expected = offline(temporal, tokens, t)[:, :8].numpy()
    for backend in ("eager", "openvino", "onnxruntime"):
        engine = engines.compile(engines.of_module(step, spec, "temporal"), backend, cache_dir=tmp_path)
        past = {name: value.numpy() for name, value in step.start(2, JOINTS).items()}
        for frame in range(8):
            out = engine({"tokens": tokens[:, frame].numpy(), **past})
            write(past, out, t.numpy(), frame)
            assert relative_error(out["tokens"], expected[:, frame]) < 1e-4, (backend, frame)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(MocapError, match="divides by twice its 3 heads, found 128"):
        TemporalConfig(heads=3)
