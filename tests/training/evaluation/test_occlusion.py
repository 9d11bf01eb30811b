from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mocap.errors import MocapError
from mocap.models.blazepose import load_landmarker
from tests.training.evaluation.made import made_clip
from tests.training.small_corpus import write_small_corpus
from training.datasets.corpus import Corpus
from training.evaluation.occlusion import (
    Shot,
    body_px,
    covered,
    crop_below,
    crop_evenly,
    crop_growth,
    look,
    occlusion_map,
    shots,
)
from training.evaluation.plots import occlusion_figure
from training.evaluation.systems import KINEMATIC, kinematic
from training.synthesis.pairs import PairConfig, PairMaker
from training.synthesis.renderer import Renderer

PICTURE = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
BODY = np.array([[60.0, 20.0], [100.0, 100.0]])  # 40 by 80 px, the square around it 96


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a == b).all(-1))


def test_an_even_crop_keeps_the_middle_of_the_square_around_the_body() -> None:
    kept = same(crop_evenly(PICTURE, BODY, 0.5), PICTURE)
    assert kept[36:84, 56:104].all()  # 48 px, half of the square, around (80, 60)
    assert kept.mean() == pytest.approx(48 * 48 / (120 * 160), abs=0.01)
    assert same(crop_evenly(PICTURE, BODY, 0.0)[12:108, 32:128], PICTURE[12:108, 32:128]).all()


def test_beyond_a_crop_its_border_goes_on() -> None:
    cropped = crop_evenly(PICTURE, BODY, 0.5)
    assert (cropped[40, :56] == cropped[40, 56]).all()
    assert (cropped[:36, 70] == cropped[36, 70]).all()
    assert cropped.shape == PICTURE.shape


def test_a_crop_from_below_takes_off_the_legs() -> None:
    kept = same(crop_below(PICTURE, BODY, 0.3), PICTURE)
    assert kept[20:76].all()  # 100 - 0.3 * 80
    assert kept[77:].mean() < 0.01


def test_the_sliding_square() -> None:
    hidden = covered(PICTURE, np.array([10.0, 20.0]), 5)
    assert (hidden[15:25, 5:15] == 128).all()
    assert same(hidden, PICTURE).sum() == pytest.approx(120 * 160 - 100, abs=2)
    assert (covered(PICTURE, np.array([0.0, 0.0]), 5)[:5, :5] == 128).all()


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> PairMaker:
    try:
        Renderer(8, 8)
    except MocapError as error:
        pytest.skip(str(error))
    folder: Path = tmp_path_factory.mktemp("occlusion") / "corpus"
    write_small_corpus(folder)
    return PairMaker(Corpus.open(folder), "test", load_landmarker(), PairConfig(longest_px=256, company=0.0))


@pytest.fixture(scope="module")
def some(maker: PairMaker) -> list[Shot]:
    found = list(shots(maker, 8, seed=1))
    assert found
    return found


def test_shots_are_people_where_the_network_sees_them(some: list[Shot]) -> None:
    for shot in some:
        assert shot.whole.truth.scored.all()
        assert shot.picture.max() > 50
        body = body_px(shot)
        assert (body >= 0).all()
        assert (body <= [shot.picture.shape[1], shot.picture.shape[0]]).all()
        center = np.array(shot.roi.center_px)
        assert center * shot.scale == pytest.approx(shot.whole.track.roi[0, :2])
        assert not shot.seen_as(None).track.seen.any()


def test_less_seen_is_more_wrong(maker: PairMaker, some: list[Shot]) -> None:
    found = crop_growth(some, maker.landmarker, {KINEMATIC: kinematic})
    assert set(found) == {"evenly, 30%", "evenly, 50%", "from below, 30%", "from below, 50%"}
    rows = [row for row in found.values() if row]
    assert rows
    for row in rows:
        assert list(row) == ["MediaPipe raw", KINEMATIC]
        assert 0 < row[KINEMATIC]["found"] <= 1
        assert row[KINEMATIC]["pa_mpjpe"] >= row[KINEMATIC]["pa_growth"]
    assert max(row["MediaPipe raw"]["pa_growth"] for row in rows) > 5


def test_a_blank_picture_shows_nobody(maker: PairMaker, some: list[Shot]) -> None:
    assert look(maker.landmarker, np.full_like(some[0].picture, 128), some[0].roi) is None


def test_the_map_of_a_sliding_square(maker: PairMaker, some: list[Shot]) -> None:
    shot = some[0]
    centers, maps = occlusion_map(shot, maker.landmarker, {KINEMATIC: kinematic}, side=0.3, stride=0.25)
    assert set(maps) == {"MediaPipe raw", KINEMATIC}
    assert all(grid.shape == centers.shape[:2] for grid in maps.values())
    assert np.isfinite(maps[KINEMATIC]).any()
    x = centers[..., 0]
    assert np.diff(x, axis=1).min() == pytest.approx(0.25 * shot.roi.size_px)
    body = body_px(shot)
    assert x.min() < body[:, 0].min() < body[:, 0].max() < x.max()
    assert len(occlusion_figure(shot, centers, maps).axes) == 4  # picture, two maps, colours


def test_a_made_clip_has_a_name() -> None:
    assert made_clip(frames=1).name == "made_0"
