from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mocap.errors import MocapError
from mocap.models import independent_tokens as network
from mocap.models.independent_tokens import IndependentTokensConfig
from tests.models.test_independent_tokens import SMALL, clip, released
from training import parity
from training.parity_int import network_config
from training.published.independent_tokens import theta_of

from .test_parity import rows, write

RELEASED = {
    "img_size": 16, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4, "mlp_ratio": 64 / 48,
    "st_mode": "vanilla", "temporal_layers": 2, "temporal_num_heads": 4, "enable_temp_modeling": True,
    "enable_temp_embedding": True, "seq_length": 6, "hybrid": None,
}  # fmt: skip


def test_released_settings_have_counterparts() -> None:
    assert network_config(RELEASED) == SMALL
    assert network_config({}) == IndependentTokensConfig()
    still = network_config({**RELEASED, "enable_temp_modeling": False, "enable_temp_embedding": False})
    assert (still.temporal, still.frames) == (None, None)
    assert network_config({"st_mode": "parallel"}).parallel
    hybrid = {"layers": [1, 2], "channels": [128, 256], "stem_chs": 32}
    backbone = network_config({"img_size": 64, "hybrid": hybrid}).backbone
    assert backbone is not None
    assert (backbone.layers, backbone.channels, backbone.stem, backbone.stride) == ((1, 2), (128, 256), 32, 8)
    with pytest.raises(MocapError, match="found 'series'"):
        network_config({"st_mode": "series"})


@pytest.mark.parametrize("frames", [1, 6])
def test_a_vector_of_the_network(frames: int, tmp_path: Path) -> None:
    weights, pictures = released(SMALL), clip(frames=frames).half()
    model = network.from_released(weights, SMALL, "file")
    with torch.no_grad():
        out = model(pictures.float())
    outputs = {"theta": theta_of(out).numpy(), "rotmat": out["R"].numpy()}
    folder = write(tmp_path / "int" / "base", "int.base", {"x": pictures.numpy()}, outputs, **RELEASED)
    save_file(weights, folder / "state_dict.safetensors")
    assert all(row.passed for row in rows(folder).values())


def test_a_vector_of_the_metrics(tmp_path: Path) -> None:
    t = np.arange(9)[:, None, None] ** 2 * np.ones((1, 14, 3))
    outputs = {"accel_pred": np.full(7, 4 * 3**0.5), "accel_err": np.full(7, 2 * 3**0.5)}
    folder = write(tmp_path / "int" / "metrics", "int.metrics", {"pred": 2 * t, "gt": t}, outputs)
    assert [row.passed for row in rows(folder).values()] == [True, True]


@pytest.mark.shared
@pytest.mark.parametrize("pattern", ["int/*", "smpl.lbs", "smpl.joints_int"])
def test_published_network_is_matched(pattern: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(shared / "parity"), "--only", pattern]) == 0, capsys.readouterr().out
