from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mocap.errors import MocapError
from training.capture import landmark_noise
from training.capture.landmark_noise import LandmarkNoise, _View, applied, errors, fit, load, save
from training.capture.shards import Shards
from training.capture.truth import SWAP_LANDMARKS, Truth

from .small_shards import noise_without_habits, people, seen_of, truth_of

FRAMES = 8
X, Y, DEPTH = (4 + 7 * torch.arange(33) + entry for entry in range(3))  # of an error, in the picture
LOGIT = 4 + 7 * torch.arange(33) + 6


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_noise, "_HIDDEN", 64)


def everyone(truth: Truth) -> Tensor:
    return torch.ones(len(truth), dtype=torch.bool)


def drawn(count: int, frames: int = 1, seed: int = 0) -> tuple[Truth, _View]:
    truth = truth_of(people(count, frames, seed))
    return truth, _View.of(truth)


def shards(count: int, frames: int, error: Tensor, seed: int = 0) -> Shards:
    """People whom BlazePose sees with the same error (N, entries), or (entries,), in the square's axes."""
    truth, view = drawn(count, frames, seed)
    return Shards(truth, applied(truth, view, error.expand(len(truth), -1), everyone(truth)), frames)


def test_errors_then_applied_is_a_round_trip() -> None:
    truth, view = drawn(30)
    seen = seen_of(truth, error=0.03)
    found = applied(truth, view, errors(truth, view, seen), everyone(truth))
    torch.testing.assert_close(found.landmarks_px, seen.landmarks_px, rtol=1e-4, atol=0.05)
    torch.testing.assert_close(found.landmarks_world, seen.landmarks_world, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.visibility, seen.visibility, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.roi, seen.roi, rtol=1e-4, atol=0.05)


def test_who_sees_without_error_errs_by_nothing() -> None:
    truth, view = drawn(30)
    error = errors(truth, view, seen_of(truth))
    points = error[:, 4:].unflatten(1, (33, 7))[..., :6]
    inside = (view.px.abs() < 4).all(-1)
    assert points[inside].abs().max() < 1e-4
    assert error[:, :4].abs().max() < 1e-4


def test_errors_are_in_the_squares_axes() -> None:
    """Whoever lies on the side has errors like who stands, seen by a camera that is turned."""
    truth, view = drawn(30)
    error = torch.zeros(30, 235)
    error[:, Y] = 0.1  # towards the feet
    moved = applied(truth, view, error, everyone(truth)).landmarks_px[..., :2] - truth.project(truth.p_camera_landmark)
    roll, side = view.square[:, 3], view.square[:, 2]
    down = torch.stack([-roll.sin(), roll.cos()], 1) * 0.1 * side[:, None]
    torch.testing.assert_close(moved, down[:, None].expand_as(moved), rtol=1e-3, atol=0.1)


def test_a_constant_bias_is_recovered() -> None:
    bias = torch.zeros(235)
    bias[X], bias[Y], bias[LOGIT] = 0.05, -0.03, 1.0
    model = fit(shards(150, 1, bias), shards(20, FRAMES, bias, seed=1), steps=300)
    truth, view = drawn(60, seed=2)
    habits, _ = model.habits(view.features(truth))
    found = habits.median(0).values
    for entries, expected in ((X, 0.05), (Y, -0.03), (LOGIT, 1.0), (DEPTH, 0.0)):
        assert (found[entries] - expected).abs().max() < 0.015 + 0.05 * abs(expected)
    sampled = model.frames(truth, torch.Generator().manual_seed(0))
    error = errors(truth, view, sampled)
    assert error[:, X].mean() == pytest.approx(0.05, abs=0.01)
    assert error[:, LOGIT].mean() == pytest.approx(1.0, abs=0.1)


def test_habits_depend_on_the_pose() -> None:
    """A network that sees everything at half its depth is imitated for people whom it has never seen."""
    parts = []
    for count, frames, seed in ((500, 1, 0), (10, FRAMES, 1)):
        truth, view = drawn(count, frames, seed)
        error = 0.05 * torch.randn(len(truth), 235, generator=torch.Generator().manual_seed(seed))
        error[:, DEPTH] = -0.5 * view.px[..., 2]
        parts.append(Shards(truth, applied(truth, view, error, everyone(truth)), frames))
    model = fit(*parts, steps=300)
    truth, view = drawn(100, seed=2)
    habit = model.habits(view.features(truth))[0][:, DEPTH].detach()
    true = view.px[..., 2]
    assert (habit * true).mean() / true.square().mean() == pytest.approx(-0.5, abs=0.1)


def test_those_who_are_seen_poorly_scatter_more() -> None:
    """Who lies or turns is seen ten times worse than who does not; people made up from the bank are, too."""
    parts = []
    for count, frames, seed in ((800, 1, 0), (20, FRAMES, 1)):
        truth, view = drawn(count, frames, seed)
        size = torch.where(view.world[:, :, 2].mean(1, keepdim=True) > 0, 0.1, 0.01)
        error = size * torch.randn(len(truth), 235, generator=torch.Generator().manual_seed(seed))
        parts.append(Shards(truth, applied(truth, view, error, everyone(truth)), frames))
    model = fit(*parts, steps=600)
    truth, view = drawn(400, seed=2)
    error = errors(truth, view, model.frames(truth, torch.Generator().manual_seed(0)))[:, X].abs().median(1).values
    depth = view.world[:, :, 2].mean(1)
    poorly, well = error[depth > depth.quantile(0.8)], error[depth < depth.quantile(0.2)]
    assert poorly.median() > 4 * well.median()


def test_frames_have_the_errors_of_their_kind() -> None:
    """Flips happen to those who turn their back; each landmark's error comes with the others of its frame."""
    truth, view = drawn(400)
    kind, generator = view.kind(), torch.Generator().manual_seed(0)
    assert len(kind.unique()) > 3
    model = noise_without_habits(len(truth))
    behind = kind == kind.mode().values
    flips = behind & (torch.rand(len(truth), generator=generator) < 0.4)
    bank = 0.02 * torch.randn(len(truth), 235, generator=generator)
    flat = view.px[..., :2]
    bank[:, X] += flips[:, None] * (flat[:, SWAP_LANDMARKS] - flat)[..., 0]
    bank[:, Y] += ~behind[:, None] * 0.1 * torch.randn(len(truth), 1, generator=generator)
    model.single.copy_(bank)
    model.single_kind.copy_(kind)
    others, other_view = drawn(2000, seed=3)
    alike = torch.isin(other_view.kind(), kind)
    others = others[alike]
    view = _View.of(others)
    error = errors(others, view, model.frames(others, generator))
    row = torch.cdist(error[:, X], model.single[:, X].float()).argmin(1)
    torch.testing.assert_close(error[:, X], model.single[row][:, X].float(), rtol=0, atol=5e-3)
    torch.testing.assert_close(error[:, Y], model.single[row][:, Y].float(), rtol=0, atol=5e-3)
    assert torch.equal(kind[row], view.kind())
    mine = view.kind() == kind.mode().values
    share = flips[behind].float().mean()
    assert flips[row][mine].float().mean() == pytest.approx(float(share), abs=0.06)
    assert not flips[row][~mine].any()
    for which, those in ((mine, behind), (~mine, ~behind)):
        assert error[which][:, Y].std() == pytest.approx(float(bank[those][:, Y].std()), rel=0.15)


def test_a_kind_that_the_bank_lacks_takes_any() -> None:
    truth, view = drawn(50)
    model = noise_without_habits(3)
    model.single_kind.fill_(int(view.kind().max()) + 1)
    seen = model.frames(truth, torch.Generator().manual_seed(0))
    assert torch.isfinite(seen.landmarks_px).all()


def clips_that_count(kept: int) -> LandmarkNoise:
    """A bank of four clips: the square's error tells clip and frame; the last of clip 1 are lost."""
    model = noise_without_habits(1, 4, kept)
    model.clips[..., 0] = torch.arange(4)[:, None] / 10
    model.clips[..., 1] = torch.arange(kept) / 100
    model.clip_there[1, kept - 3 :] = False
    model.clip_kind.zero_()
    return model


def test_clips_keep_their_order_in_time_and_their_losses() -> None:
    kept, frames, count = 12, 5, 200
    model = clips_that_count(kept)
    truth, view = drawn(count, frames)
    generator = torch.Generator().manual_seed(0)
    stride = 2 ** torch.randint(0, 2, (count,), generator=generator)
    seen = model.sequences(truth, frames, stride, generator)
    error = errors(truth, view, seen).unflatten(0, (count, frames))
    there = seen.there.unflatten(0, (count, frames))
    clip, frame = (10 * error[..., 0]).round().long(), (100 * error[..., 1]).round().long()
    whole = there.all(1)
    assert (clip[whole] == clip[whole, :1]).all()
    assert ((frame[whole] >= 0) & (frame[whole] < kept)).all()
    straight = whole & (frame[:, 0] + (frames - 1) * stride < kept)
    steps = frame.diff(dim=1)
    assert straight.sum() > 40
    assert (steps[straight] == stride[straight, None]).all()  # forwards, so many frames of the bank at a time
    assert (steps[whole].abs() <= stride[whole, None]).all()  # at its end it goes back, without a jump
    lost = ~whole
    assert lost.float().mean() == pytest.approx(0.25 * 0.45, abs=0.08)
    assert (clip[lost][there[lost]] == 1).all()
    assert (frame[lost][there[lost]] < kept - 3).all()
    assert (seen.visibility[~seen.there] == -1).all()
    assert (seen.roi[~seen.there] == torch.tensor([0.0, 0, 1, 0])).all()  # as in shards: nothing tells where they are


def test_clips_are_drawn_from_those_seen_from_a_like_side() -> None:
    frames, count = 4, 60
    truth, view = drawn(count, frames)
    middle = view.kind().unflatten(0, (count, frames))[:, frames // 2]
    common = int(middle.mode().values)
    model = clips_that_count(frames + 1)
    model.clip_there.fill_(True)
    model.clip_kind.fill_((common + 1) % int(view.kind().max() + 2))
    model.clip_kind[0] = common
    seen = model.sequences(truth, frames, torch.ones(count, dtype=torch.int64), torch.Generator().manual_seed(0))
    clip = (10 * errors(truth, view, seen)[:, 0]).round().long().unflatten(0, (count, frames))
    assert (clip == clip[:, :1]).all()
    assert (clip[middle == common] == 0).all()
    assert (clip[middle != common] > 0).any()


def test_the_bank_is_what_habits_leave() -> None:
    bias = torch.full((235,), 0.02)
    singles, clips = shards(100, 1, bias), shards(12, FRAMES, bias, seed=1)
    clips.seen.visibility[3] = -1
    model = fit(singles, clips, steps=5)
    view = _View.of(singles.truth)
    middle, spread = model.habits(view.features(singles.truth))
    whole = middle + spread * model.single.float()
    torch.testing.assert_close(whole, errors(singles.truth, view, singles.seen), rtol=0, atol=0.01)
    assert torch.equal(model.clip_there.flatten(), clips.seen.there)
    assert (model.clips[0, 3] == 0).all()
    assert torch.equal(model.single_kind, view.kind())


def test_a_file_gives_the_same_noise(tmp_path: Path) -> None:
    bias = torch.full((235,), 0.02)
    model = fit(shards(40, 1, bias), shards(4, FRAMES, bias), steps=2)
    save(model, tmp_path / "sub" / "noise.pt")
    again = load(tmp_path / "sub" / "noise.pt")
    truth, _ = drawn(6, FRAMES)
    stride = torch.ones(6, dtype=torch.int64)
    for sample in (
        lambda m, seed: m.frames(truth, torch.Generator().manual_seed(seed)),
        lambda m, seed: m.sequences(truth, FRAMES, stride, torch.Generator().manual_seed(seed)),
    ):
        first, second, other = sample(model, 0), sample(again, 0), sample(model, 1)
        assert torch.equal(first.landmarks_px, second.landmarks_px)
        assert not torch.equal(first.landmarks_px, other.landmarks_px)


def test_files_that_are_not_there_and_shards_of_the_wrong_sort(tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"training\.fit_noise"):
        load(tmp_path / "none.pt")
    (tmp_path / "broken.pt").write_bytes(b"not a file of torch")
    torch.save({"single": torch.zeros(3)}, tmp_path / "other.pt")
    for name in ("broken.pt", "other.pt"):
        with pytest.raises(MocapError, match=rf"{name}: expected the noise of landmarks.*training\.fit_noise"):
            load(tmp_path / name)
    singles = shards(10, 1, torch.zeros(235))
    with pytest.raises(MocapError, match="expected single frames and clips, found clips of 1 and 1 frames"):
        fit(singles, singles, steps=1)
