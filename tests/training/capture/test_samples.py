from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mocap.body.skeleton import JOINT
from mocap.body.torch_figure import Figure
from mocap.body.torch_rotations import matrix_to_axis_angle, random_rotations
from mocap.models.token_capture import UNKNOWN_PITCH
from tests.training.small_corpus import write_small_corpus
from training.capture.samples import Knowledge, Stream, _stretched, clearer, inputs
from training.capture.truth import SWAP_LANDMARKS, Truth
from training.capture.validation import PLAIN
from training.datasets.corpus import Corpus

from .small_shards import noise_without_habits, people, seen_of, truth_of

CLIPS, FRAMES = 60, 5
TRUTH = truth_of(people(CLIPS, FRAMES))
SEEN = seen_of(TRUTH, 0.01)
SPEED = 0.5  # m/s


def given(knowledge: Knowledge, frames: int = FRAMES, seed: int = 0) -> dict[str, Tensor]:
    return inputs(TRUTH, SEEN, knowledge, frames, torch.Generator().manual_seed(seed))


def by_clip(values: Tensor) -> Tensor:
    return values.unflatten(0, (CLIPS, FRAMES))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small one, whose people move evenly along x."""
    folder = tmp_path_factory.mktemp("samples") / "corpus"
    write_small_corpus(folder)
    roots = np.load(folder / "roots.npy")
    roots[:, 0] = SPEED / 30 * np.arange(len(roots))
    np.save(folder / "roots.npy", roots)
    return Corpus.open(folder)


def test_who_leaves_nothing_out_gives_what_was_seen() -> None:
    found = given(PLAIN)
    for name in ("landmarks_px", "landmarks_world", "visibility", "roi"):
        assert torch.equal(found[name], getattr(SEEN, name))
    focal, x, y, pitch = found["camera"].T
    assert torch.equal(focal, TRUTH.focal_px)
    assert torch.equal(torch.stack([x, y], 1), 0.5 * TRUTH.size_px)
    assert (pitch == UNKNOWN_PITCH).all()  # nothing is known of the camera's pitch and of the person's shape
    assert not found["shape"].any()


def test_shares_of_one_leave_out_all() -> None:
    everything = replace(PLAIN, without_world=1.0, without_depth=1.0, without_some=1.0, with_pitch=1.0)
    before = SEEN.landmarks_px.clone()
    found = given(everything)
    assert torch.equal(SEEN.landmarks_px, before)
    assert not found["landmarks_world"].any()
    assert not found["landmarks_px"][..., 2].any()
    assert torch.equal(found["landmarks_px"][..., :2], SEEN.landmarks_px[..., :2])
    assert torch.equal(found["camera"][:, 3], TRUTH.pitch)
    lost = found["visibility"] < 0
    assert torch.equal(found["visibility"][~lost], SEEN.visibility[~lost])
    parts = lost.float().mean(1)
    assert parts.mean() == pytest.approx(0.5, abs=0.06)
    assert parts.std() > 0.2  # of some frames nearly nothing, of others nearly all


def test_what_a_clip_knows_it_knows_in_all_of_its_frames() -> None:
    half = Knowledge(0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.0, 0.5)
    found = given(half)
    world = by_clip(found["landmarks_world"].flatten(1).any(1))
    depth = by_clip(found["landmarks_px"][..., 2].any(1))
    whole = by_clip((found["visibility"] >= 0).all(1))
    for known in (world, depth):
        assert (known == known[:, :1]).all()
        assert 0.3 < known.float().mean() < 0.7
    assert 0.3 < whole.all(1).float().mean() < 0.7
    assert whole[~whole.all(1)].float().mean() < 0.1
    for name in ("camera", "shape"):
        part = by_clip(found[name])
        torch.testing.assert_close(part, part[:, :1].expand_as(part))
        assert len(found[name].unique(dim=0)) > CLIPS / 4
    assert (world[:, 0] != depth[:, 0]).any()  # one does not tell the other


def test_left_and_right_are_exchanged_for_a_while() -> None:
    found = given(replace(PLAIN, exchanged=1.0))
    kinds = set()
    for name in ("landmarks_px", "landmarks_world", "visibility"):
        before, after = getattr(SEEN, name), found[name]
        swapped = (after != before).flatten(2).any(-1) if after.ndim == 3 else after != before
        assert torch.equal(after[swapped], before[:, SWAP_LANDMARKS][swapped]), name
        limbs = [tuple(row.nonzero().flatten().tolist()) for row in swapped]
        kinds |= {(min(some), max(some)) for some in limbs if some}
        during = by_clip(swapped.any(1)).int()
        assert (during.diff(dim=1).abs().sum(1) <= 2).all(), name  # one stretch
        assert 0.2 < during.float().mean() < 0.7
    assert kinds == {(1, 32), (11, 22), (23, 32)}
    alone = given(replace(PLAIN, exchanged=1.0), frames=1)
    assert torch.equal(alone["visibility"], SEEN.visibility)


def test_frames_that_are_unrelated_know_each_their_own() -> None:
    found = given(Knowledge(0.5, 0.5, 0.5, 1.0, 0.5, 0.1, 0.0, 0.5), frames=1)
    world = by_clip(found["landmarks_world"].flatten(1).any(1))
    assert (world != world[:, :1]).any()
    assert len(found["shape"].unique(dim=0)) == len(TRUTH)


def test_a_notion_of_the_shape_is_as_good_as_it_says() -> None:
    shape = given(replace(PLAIN, with_shape=1.0), frames=1)["shape"]
    betas, sure = shape[:, :10], shape[:, 10:]
    assert sure.min() >= 0
    assert sure.mean() == pytest.approx(0.5, abs=0.06)
    left = (betas - sure * TRUTH.betas) / (sure * (1 - sure)).sqrt().clamp_min(1e-3)
    clear = ((sure > 0.05) & (sure < 0.95))[:, 0]
    assert left[clear].std() == pytest.approx(1, abs=0.06)
    assert left[clear].mean().abs() < 0.06
    best = sure[:, 0] > 0.95
    assert (betas - TRUTH.betas)[best].abs().mean() < 0.3
    half = given(replace(PLAIN, with_shape=0.5), frames=1)["shape"]
    assert (half[:, 10] > 0).float().mean() == pytest.approx(0.5, abs=0.12)
    assert not half[half[:, 10] == 0].any()


def test_the_focal_length_is_known_about() -> None:
    focal = given(replace(PLAIN, focal=0.1), frames=1)["camera"][:, 0]
    off = (focal / TRUTH.focal_px).log()
    assert off.std() == pytest.approx(0.1, rel=0.15)
    assert off.mean().abs() < 0.03


def test_a_part_of_the_errors_is_taken_away_in_a_share_of_the_clips() -> None:
    gone = torch.zeros(len(TRUTH), dtype=torch.bool)
    gone[:FRAMES] = True
    noisy = SEEN.without(gone)
    knowledge = replace(PLAIN, clearer=0.5)
    found = clearer(TRUTH, noisy, knowledge, FRAMES, torch.Generator().manual_seed(0))
    true = TRUTH.project(TRUTH.p_camera_landmark)
    left = ((found.landmarks_px[..., :2] - true) / (noisy.landmarks_px[..., :2] - true)).flatten(1)
    assert (left.std(1) < 1e-2).all()
    left = by_clip(left.mean(1))[1:]
    torch.testing.assert_close(left, left[:, :1].expand(-1, FRAMES), atol=1e-2, rtol=0)
    untouched = left[:, 0] > 0.999
    assert 0.3 < untouched.float().mean() < 0.7
    assert left[~untouched, 0].mean() == pytest.approx(0.5, abs=0.15)
    hips = TRUTH.p_camera_landmark[:, [23, 24]].mean(1, keepdim=True)
    world = (found.landmarks_world - TRUTH.p_camera_landmark + hips).norm(dim=-1).mean(1)
    before = (noisy.landmarks_world - TRUTH.p_camera_landmark + hips).norm(dim=-1).mean(1)
    torch.testing.assert_close(by_clip(world / before)[1:], left, atol=2e-2, rtol=0)
    for name in ("visibility", "roi"):
        assert torch.equal(getattr(found, name), getattr(noisy, name))
    assert torch.equal(found.landmarks_px[gone], noisy.landmarks_px[gone])
    assert torch.equal(found.landmarks_px[..., 2], noisy.landmarks_px[..., 2])


def test_some_people_stand_with_stretched_legs() -> None:
    R = random_rotations((400 * FRAMES, 6), generator=torch.Generator().manual_seed(0))
    found = _stretched(R, 400, torch.Generator().manual_seed(1))
    before, after = matrix_to_axis_angle(R).norm(dim=-1), matrix_to_axis_angle(found).norm(dim=-1)
    share = (after / before).unflatten(0, (400, FRAMES)).flatten(1)
    assert (share.std(1) < 1e-2).all()  # a clip's legs all alike
    stands = share.mean(1) < 0.31
    assert 0.2 < stands.float().mean() < 0.3
    assert torch.equal(found.unflatten(0, (400, FRAMES))[~stands], R.unflatten(0, (400, FRAMES))[~stands])


@pytest.mark.parametrize("frames", [1, 4])
def test_streamed_people_are_seen_where_they_are(corpus: Corpus, frames: int) -> None:
    stream = Stream(corpus, "train", Figure(), noise_without_habits(1), frames)
    truth, seen, t = stream(30, torch.Generator().manual_seed(0))
    assert len(truth) == len(seen) == 30 * frames
    again = Truth.of(
        Figure(), truth.R, truth.betas, truth.p_camera_joint[:, 0], truth.focal_px, truth.size_px, truth.pitch
    )
    torch.testing.assert_close(again.p_camera_landmark, truth.p_camera_landmark)
    true, side = truth.project(truth.p_camera_landmark), truth.square()[:, 2]
    near = ((true - truth.square()[:, None, :2]) / side[:, None, None]).abs().amax((1, 2)) < 3
    assert near.sum() > 20 * frames
    torch.testing.assert_close(seen.landmarks_px[near][..., :2], true[near], rtol=1e-3, atol=0.1)
    assert t.shape == (30, frames)
    assert seen.there.all()
    assert truth.p_camera_joint[:, JOINT["pelvis"], 2].median() > 0.3  # before the camera


def test_lively_clips_move_more(tmp_path: Path) -> None:
    write_small_corpus(tmp_path / "corpus")
    quats = np.load(tmp_path / "corpus" / "quats.npy")
    quats[:150] = quats[0]  # most of the training clip stands still
    np.save(tmp_path / "corpus" / "quats.npy", quats)
    corpus = Corpus.open(tmp_path / "corpus")

    def moving(lively: float) -> float:
        stream = Stream(corpus, "train", Figure(), noise_without_habits(1), FRAMES, lively)
        truth, _, _ = stream(100, torch.Generator().manual_seed(0))
        turned = (truth.R.unflatten(0, (100, FRAMES)).diff(dim=1).abs() > 1e-3).flatten(1)
        return float(turned.any(1).float().mean())

    still, half, lively = moving(0.0), moving(0.5), moving(1.0)
    assert still < half < lively
    assert still == pytest.approx(0.28, abs=0.1)
    assert lively == pytest.approx(1 - 0.72**4, abs=0.1)


def test_streamed_clips_are_of_one_person_and_one_camera_at_the_said_times(corpus: Corpus) -> None:
    figure, count, frames = Figure(), 40, 4
    stream = Stream(corpus, "train", figure, noise_without_habits(1), frames)
    truth, _, t = stream(count, torch.Generator().manual_seed(0))
    for part in (truth.betas, truth.focal_px, truth.size_px, truth.pitch):
        clips = part.unflatten(0, (count, frames))
        assert torch.equal(clips, clips[:, :1].expand_as(clips))
    dt = t.diff(dim=1)
    assert set((30 * dt).round().long().flatten().tolist()) == {1, 2, 4}
    pelvis = truth.p_camera_joint[:, 0].unflatten(0, (count, frames))
    speed = pelvis.diff(dim=1).norm(dim=-1) / dt
    leg = [JOINT[name] for name in ("pelvis", "left_hip", "left_knee", "left_ankle")]
    still = torch.eye(3).expand(count, 22, 3, 3)
    lengths = [
        figure(still, betas)[0][:, leg].diff(dim=1).norm(dim=-1).sum(1)
        for betas in (truth.betas[::frames], torch.zeros(count, 10))
    ]
    expected = SPEED * lengths[0] / lengths[1]  # who has longer legs goes faster
    torch.testing.assert_close(speed, expected[:, None].expand_as(speed), rtol=1e-3, atol=1e-3)


def test_a_sample_depends_on_the_generator_alone(corpus: Corpus) -> None:
    stream = Stream(corpus, "train", Figure(), noise_without_habits(1), 3)
    other = Stream(corpus, "train", Figure(), noise_without_habits(1), 3)
    stream(5, torch.Generator().manual_seed(4))
    first, again, third = (s(5, torch.Generator().manual_seed(n)) for s, n in ((stream, 0), (other, 0), (other, 1)))
    for field in fields(Truth):
        assert torch.equal(getattr(first[0], field.name), getattr(again[0], field.name))
    assert torch.equal(first[1].landmarks_px, again[1].landmarks_px)
    assert not torch.equal(first[0].betas, third[0].betas)
