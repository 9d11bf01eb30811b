from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mocap.models.checkpoints import renamed
from mocap.models.pct import RULES, PctHead
from tests.models.test_pct import CONFIG, released_names
from training import parity

SETTINGS: dict[str, Any] = {
    "module": "pct.head",
    "in_channels": 4,
    "image_size": [96, 96],
    "cls_head": {
        "conv_num_blocks": 2, "conv_channels": 3, "dilation": 1, "num_blocks": 2, "hidden_dim": 5,
        "token_inter_dim": 7, "hidden_inter_dim": 13, "dropout": 0.0,
    },
    "tokenizer": {
        "guide_ratio": 0.0,
        "encoder": {
            "drop_rate": 0.2, "num_blocks": 2, "hidden_dim": 12, "token_inter_dim": 7, "hidden_inter_dim": 10,
            "dropout": 0.0,
        },
        "decoder": {"num_blocks": 1, "hidden_dim": 6, "token_inter_dim": 7, "hidden_inter_dim": 9, "dropout": 0.0},
        "codebook": {"token_num": 6, "token_dim": 8, "token_class_num": 11, "ema_decay": 0.9},
    },
}  # fmt: skip


def write(folder: Path, config: dict[str, Any], inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    np.savez(folder / "inputs.npz", **{name: x.numpy() for name, x in inputs.items()})
    np.savez(folder / "outputs.npz", **{name: x.numpy() for name, x in outputs.items()})


@torch.no_grad()
def test_a_head_is_built_from_its_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    head = PctHead(CONFIG).eval()
    own, fmap = head.state_dict(), torch.randn(2, 4, 3, 3)
    found = head(fmap)
    joints = head.tokenizer.decode(found.embeddings)
    outputs = {"scores": found.score, "logits": found.logits.flatten(0, 1), "joints_pred": joints}
    folder = tmp_path / "pct/head"
    write(folder, SETTINGS, {"fmap": fmap}, outputs)
    released = {name: own[next(iter(renamed({name: torch.empty(0)}, RULES)))] for name in released_names(CONFIG)}
    save_file({name: x.contiguous() for name, x in released.items()}, folder / "state_dict.safetensors")
    assert parity.main([str(tmp_path)]) == 0, capsys.readouterr().out
    released["conv_trans.1.running_mean"] += 0.1
    save_file({name: x.contiguous() for name, x in released.items()}, folder / "state_dict.safetensors")
    assert parity.main([str(tmp_path)]) == 1


def test_axis_angles(tmp_path: Path) -> None:
    quarter = torch.tensor([[0.0, 0.0, torch.pi / 2], [0.0, 0.0, 0.0]])
    R = torch.stack([torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), torch.eye(3)])
    write(tmp_path / "fastmetro/rodrigues", {"module": "fastmetro.rodrigues"}, {"aa": quarter}, {"R": R})
    assert parity.main([str(tmp_path)]) == 0


@pytest.mark.shared
@pytest.mark.parametrize("system", ["pct", "postometro", "fastmetro"])
def test_published_networks_are_matched(system: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(shared / "parity"), "--only", f"{system}/*"]) == 0, capsys.readouterr().out
