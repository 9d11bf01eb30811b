"""BlazePose's errors as a function of what is true: a network for its habits, a bank of what remains.

Landmarks are looked at in the square that BlazePose would look at, turned upright, in units of its side; world
landmarks turned alike, in metres. A small network, fitted with an L1 loss, says where BlazePose's landmarks lie on
average for a given pose and view (its bias by joint and view, its depth towards the mean, points outside the picture).
What remains (jitter, flips, dropouts, occluders) is drawn from rendered frames seen from a like side: all landmarks of
a frame together, and for clips whole stretches, so that errors keep their correlation among joints and in time.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from mocap.body.landmarks import LANDMARK, NUM_LANDMARKS
from mocap.errors import MocapError
from mocap.people.landmarks import FEATURES
from training.capture.shards import Shards
from training.capture.truth import Seen, Truth, turned

_HIPS = [LANDMARK["left_hip"], LANDMARK["right_hip"]]
_SHOULDERS = [LANDMARK["left_shoulder"], LANDMARK["right_shoulder"]]
_ENTRIES = 4 + 7 * NUM_LANDMARKS  # square, and per landmark: picture x y z, world x y z, visibility's logit
_FEATURES = 3 + 8 * NUM_LANDMARKS
_HIDDEN = 384
_MOST_LOG = 3.0  # of a spread over the usual one
_MOST_SPREADS = 30.0  # a remainder that is farther off counts as so far
_SIDES, _TILTS, _CUTS = 4, 2, 3
_KINDS = _SIDES * _TILTS * _CUTS


@dataclass(frozen=True)
class _View:
    """Truth in the square's axes."""

    square: Tensor  # (N, 4)
    px: Tensor  # (N, 33, 3) in units of the side, z 0 at the hips
    world: Tensor  # (N, 33, 3) m, hips at 0
    inside: Tensor  # (N, 33, 2) how far the point is inside the picture, along x and y, in sides, within [-0.5, 0.5]

    @classmethod
    def of(cls, truth: Truth) -> _View:
        square = truth.square()
        middle, side, roll = square[:, None, :2], square[:, None, 2:3], -square[:, 3]
        px, points = truth.project(truth.p_camera_landmark), truth.p_camera_landmark
        hips = points[:, _HIPS].mean(1, keepdim=True)
        z = (points - hips)[..., 2:] * (truth.focal_px[:, None, None] / hips[..., 2:].clamp_min(0.05)) / side
        flat = turned((px - middle) / side, roll)
        inside = (torch.minimum(px, truth.size_px[:, None] - px) / side).clamp(-0.5, 0.5)
        return cls(square, torch.cat([flat, z], -1).clamp(-4, 4), turned(points - hips, roll), inside)

    def features(self, truth: Truth) -> Tensor:
        """(N, features)."""
        ray = (self.square[:, :2] - 0.5 * truth.size_px) / truth.focal_px[:, None]
        size = torch.log(self.square[:, 2:3] / truth.focal_px[:, None])
        parts = [self.px.flatten(1), self.world.flatten(1), self.inside.flatten(1), ray.clamp(-2, 2), size]
        return torch.cat(parts, 1)

    def kind(self) -> Tensor:
        """(N,) which frames see alike: by the side that the person shows, upright or not, and how much is cut off."""
        across = self.world[:, _SHOULDERS[0]] - self.world[:, _SHOULDERS[1]]
        side = torch.atan2(across[:, 2], across[:, 0])  # 0: faces the camera
        quarter = ((side + torch.pi / 4) / (torch.pi / 2)).floor().long() % _SIDES
        lying = (self.square[:, 3].abs() > 0.9).long()
        there = (self.inside > 0).all(-1).float().mean(1)
        cut = (there < 0.97).long() + (there < 0.7).long()
        return (quarter * _TILTS + lying) * _CUTS + cut


def errors(truth: Truth, view: _View, seen: Seen) -> Tensor:
    """What BlazePose said minus what is true (N, entries); rows of frames without a person mean nothing."""
    middle, side, roll = view.square[:, None, :2], view.square[:, None, 2:3], -view.square[:, 3]
    flat = turned((seen.landmarks_px[..., :2] - middle) / side, roll)
    px = torch.cat([flat, seen.landmarks_px[..., 2:] / side], -1).clamp(-4, 4)
    world = turned(seen.landmarks_world, roll)
    logit = torch.logit(seen.visibility.clamp(0, 1), 1e-4)[..., None]
    points = torch.cat([px - view.px, world - view.world, logit], -1)
    center = turned((seen.roi[:, None, :2] - middle) / side, roll)[:, 0]
    size = torch.log(seen.roi[:, 2:3] / view.square[:, 2:3])
    angle = _wrapped(seen.roi[:, 3:] - view.square[:, 3:])
    return torch.cat([center, size, angle, points.flatten(1)], 1)


def applied(truth: Truth, view: _View, error: Tensor, there: Tensor) -> Seen:
    """The reverse of :func:`errors`."""
    points = error[:, 4:].unflatten(1, (NUM_LANDMARKS, 7))
    middle, side, roll = view.square[:, None, :2], view.square[:, None, 2:3], view.square[:, 3]
    px = view.px + points[..., :3]
    flat = turned(px[..., :2], roll) * side + middle
    world = turned(view.world + points[..., 3:6], roll)
    center = turned(error[:, None, :2], roll)[:, 0] * view.square[:, 2:3] + view.square[:, :2]
    size = view.square[:, 2:3] * error[:, 2:3].clamp(-2, 2).exp()
    roi = torch.cat([center, size, _wrapped(view.square[:, 3:] + error[:, 3:4])], 1)
    px = torch.cat([flat, px[..., 2:] * side], -1)
    features = torch.zeros(len(px), *FEATURES, dtype=torch.float16)
    return Seen(px, world, points[..., 6].sigmoid(), roi, features).without(~there)


class LandmarkNoise(nn.Module):
    """Makes what BlazePose would say of people whose pose is known."""

    mean: Tensor
    scale: Tensor
    usual: Tensor
    unit: Tensor
    single: Tensor
    single_kind: Tensor
    clips: Tensor
    clip_kind: Tensor
    clip_there: Tensor

    def __init__(self, singles: int, clips: int, clip_frames: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(_FEATURES, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(),
            nn.Linear(_HIDDEN, 2 * _ENTRIES),
        )  # fmt: skip
        self.register_buffer("usual", torch.zeros(_ENTRIES))
        self.register_buffer("unit", torch.ones(_ENTRIES))
        self.register_buffer("mean", torch.zeros(_FEATURES))
        self.register_buffer("scale", torch.ones(_FEATURES))
        self.register_buffer("single", torch.zeros(singles, _ENTRIES, dtype=torch.float16))
        self.register_buffer("single_kind", torch.zeros(singles, dtype=torch.int64))
        self.register_buffer("clips", torch.zeros(clips, clip_frames, _ENTRIES, dtype=torch.float16))
        self.register_buffer("clip_kind", torch.zeros(clips, dtype=torch.int64))
        self.register_buffer("clip_there", torch.zeros(clips, clip_frames, dtype=torch.bool))

    def habits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Median errors and their spreads, both (N, entries), for features (N, features): those of a Laplace
        distribution."""
        middle, spread = self.network((features - self.mean) / self.scale).chunk(2, 1)
        return self.usual + middle * self.unit, spread.clamp(-_MOST_LOG, _MOST_LOG).exp() * self.unit

    def remainder(self, features: Tensor, error: Tensor) -> Tensor:
        """Errors (N, entries) without the habits, in units of their spread, as the bank keeps them."""
        middle, spread = self.habits(features)
        return ((error - middle) / spread).clamp(-_MOST_SPREADS, _MOST_SPREADS)

    @torch.no_grad()
    def frames(self, truth: Truth, generator: torch.Generator) -> Seen:
        """Unrelated frames."""
        view = _View.of(truth)
        rows = _alike(view.kind(), self.single_kind, generator)
        middle, spread = self.habits(view.features(truth))
        error = middle + spread * self.single[rows].float()
        return applied(truth, view, error, torch.ones(len(truth), dtype=torch.bool))

    @torch.no_grad()
    def sequences(self, truth: Truth, frames: int, stride: Tensor, generator: torch.Generator) -> Seen:
        """Clips of so many frames, one after the other in ``truth``; ``stride`` (clips,) is how many frames of the
        bank, which has 30 a second, pass between two of theirs.
        """
        view = _View.of(truth)
        count, kept = len(truth) // frames, self.clips.shape[1]
        rows = _alike(view.kind().unflatten(0, (count, frames))[:, frames // 2], self.clip_kind, generator)
        start = torch.randint(kept, (count, 1), generator=generator)
        at = start + stride[:, None] * torch.arange(frames)
        at = kept - 1 - (at % (2 * kept - 2) - (kept - 1)).abs()  # forwards to the end, then back
        remainder = self.clips[rows[:, None], at].float().flatten(0, 1)
        middle, spread = self.habits(view.features(truth))
        error = middle + spread * remainder
        return applied(truth, view, error, self.clip_there[rows[:, None], at].flatten())


def fit(singles: Shards, clips: Shards, steps: int, seed: int = 0) -> LandmarkNoise:
    """Fit to rendered frames.

    Raises:
        MocapError: the shards are of the wrong sort.
    """
    if singles.clip_frames != 1 or clips.clip_frames == 1:
        raise MocapError(
            f"expected single frames and clips, found clips of {singles.clip_frames} and {clips.clip_frames} frames"
        )
    torch.manual_seed(seed)
    parts = []
    for shards in (singles, clips):
        view = _View.of(shards.truth)
        parts.append((view.features(shards.truth), errors(shards.truth, view, shards.seen), view.kind()))
    there = clips.seen.there
    model = LandmarkNoise(len(singles), len(clips) // clips.clip_frames, clips.clip_frames)
    features = torch.cat([parts[0][0], parts[1][0][there]])
    targets = torch.cat([parts[0][1], parts[1][1][there]])
    model.mean.copy_(features.mean(0))
    model.scale.copy_(features.std(0).clamp_min(1e-3))
    model.usual.copy_(targets.median(0).values)
    model.unit.copy_((targets - model.usual).abs().median(0).values.clamp_min(1e-3))
    _learn(model, features, targets, steps)
    with torch.no_grad():
        model.single.copy_(model.remainder(*parts[0][:2]))
        model.single_kind.copy_(parts[0][2])
        rest = model.remainder(*parts[1][:2]) * there[:, None]
        model.clips.copy_(rest.unflatten(0, (-1, clips.clip_frames)))
        model.clip_there.copy_(there.unflatten(0, (-1, clips.clip_frames)))
        model.clip_kind.copy_(parts[1][2].unflatten(0, (-1, clips.clip_frames))[:, clips.clip_frames // 2])
    return model.eval()


def save(model: LandmarkNoise, path: Path) -> None:
    """To a file of torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)


def load(path: Path) -> LandmarkNoise:
    """What :func:`save` wrote.

    Raises:
        MocapError: it is not there, or damaged.
    """
    if not path.is_file():
        raise MocapError(f"expected the noise of landmarks in {path}, found nothing. Run: python -m training.fit_noise")
    try:
        state = torch.load(path, weights_only=True)
        model = LandmarkNoise(len(state["single"]), *state["clips"].shape[:2])
        model.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise MocapError(
            f"{path}: expected the noise of landmarks, found another file. Run: python -m training.fit_noise"
        ) from error
    return model.eval()


def _learn(model: LandmarkNoise, features: Tensor, targets: Tensor, steps: int, batch: int = 512) -> None:
    optimizer = torch.optim.AdamW(model.network.parameters(), 1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with tqdm(range(steps), unit="step", desc="habits") as bar:
        for step in bar:
            rows = torch.randint(len(features), (batch,))
            noisy = features[rows] + 0.02 * model.scale * torch.randn(batch, _FEATURES)
            middle, spread = model.habits(noisy)
            loss = ((targets[rows] - middle).abs() / spread + (spread / model.unit).log()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 100 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")


def _alike(kind: Tensor, among: Tensor, generator: torch.Generator) -> Tensor:
    """For each kind (N,) a random row of those in ``among`` (M,) that are of it; any row where there is none."""
    order = among.argsort()
    counts = torch.bincount(among, minlength=_KINDS)
    first = counts.cumsum(0) - counts
    draw = torch.rand(len(kind), generator=generator)
    own = first[kind] + (draw * counts[kind]).long()
    return order[torch.where(counts[kind] > 0, own, (draw * len(among)).long())]


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
