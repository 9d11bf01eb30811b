from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.errors import MocapError
from mocap.models.token_capture import TokenCapture
from mocap.models.token_lookahead import TokenLookahead
from mocap.types import Frame
from tests.models.small_capture import CAMERA, WINDOW, person, write_weights
from training.capture.predict import LOOKAHEAD, load_network, predict
from training.evaluation.track import Track

FRAMES = WINDOW + LOOKAHEAD + 4
PEOPLE = [person(seed) for seed in range(FRAMES)]
TIMES = [index / 30 for index in range(FRAMES)]


def track() -> Track:
    return Track.of("made", TIMES, (CAMERA.width, CAMERA.height), CAMERA.focal_px, PEOPLE)


def frames() -> list[Frame]:
    return [Frame(index, t, np.zeros((1, 1, 3), np.uint8)) for index, t in enumerate(TIMES)]


def test_what_is_evaluated_is_what_the_product_says(tmp_path: Path) -> None:
    weights = write_weights(tmp_path, image_channels=288)
    network = load_network(weights)
    live = TokenCapture("eager", weights=weights, cache_dir=tmp_path)
    causal = [live(frame, [one], CAMERA)[0] for frame, one in zip(frames(), PEOPLE, strict=True)]
    file = TokenLookahead(LOOKAHEAD, "eager", weights=weights, cache_dir=tmp_path)
    given = [file(frame, [one], CAMERA) for frame, one in zip(frames(), PEOPLE, strict=True)]
    later = [one[0] for one in [*(one for one in given if one is not None), *file.flush()]]
    found = {mode: predict(network, track(), mode) for mode in ("causal", "lookahead")}
    for mode, expected in (("causal", causal), ("lookahead", later)):
        R, betas = np.stack([one.R_parent_joint for one in expected]), np.stack([one.betas for one in expected])
        np.testing.assert_allclose(found[mode].R_parent_joint[:, :22], R[:, :22], atol=1e-5)
        np.testing.assert_allclose(found[mode].betas, betas, atol=1e-4)
    assert np.abs(found["causal"].R_parent_joint - found["lookahead"].R_parent_joint).max() > 1e-3


@pytest.mark.parametrize("content", [b"no checkpoint", b"", None])
def test_other_files_are_one_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "last.ckpt"
    if content is None:
        torch.save({"weights": 1}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(MocapError, match=r"last\.ckpt: expected a checkpoint"):
        load_network(path)
