from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from mocap.models import tokenizer_checkpoint
from mocap.models.tokenizer import PoseTokenizer
from training import parity
from training.parity_vector import Row, Vector, compare, find_vectors

from .test_checkpoints import ARCH, CONFIG

RNG = np.random.default_rng(0)
Arrays = dict[str, NDArray[Any]]


def write(folder: Path, module: str, inputs: Arrays, outputs: Arrays, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"module": module, **config}))
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "outputs.npz", **outputs)
    return folder


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    """A vector whose outputs numpy computed."""
    names = ("rotmat", "joints", "vertices")
    inputs = {f"{which}_{name}": RNG.normal(size=(2, 30, 3)) for which in ("gt", "pred") for name in names}
    inputs |= {f"{which}_rotmat": np.broadcast_to(np.eye(3), (2, 21, 3, 3)).copy() for which in ("gt", "pred")}
    inputs["pred_rotmat"][:, :7] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # a third of the joints by a quarter turn
    squares = {name: (inputs[f"pred_{name}"] - inputs[f"gt_{name}"]) ** 2 for name in names}
    outputs = {
        "pose": np.mean(squares["rotmat"]),
        "joints": np.mean(squares["joints"][:, 1:22]),
        "mesh": np.mean(squares["vertices"]),
        "geodesic": np.array(np.pi / 6),
    }
    return write(tmp_path / "tokenhmr" / "losses", "tokenhmr.tokenizer_losses", inputs, outputs)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A vector of a tokenizer with random weights."""
    torch.manual_seed(0)
    model = PoseTokenizer(CONFIG).eval()
    weights = model.weights()
    folder = tmp_path / "tokenhmr" / "tokens"
    R = torch.eye(3).expand(3, 21, 3, 3) + 0.1 * torch.randn(3, 21, 3, 3)
    with torch.no_grad():
        found = model(R)
    outputs = {
        "latent": found.latent.numpy(),
        "indices": found.indices.flatten().numpy(),
        "recon_rotmat": found.R.numpy(),
    }
    write(folder, "tokenhmr.tokenizer", {"pose_rotmat": R.numpy()}, outputs, arch=ARCH)
    released = tokenizer_checkpoint.tokenizer_keys(CONFIG)
    save_file({key: weights[ours].contiguous() for key, ours in released.items()}, folder / "state_dict.safetensors")
    return folder


def change(folder: Path, **outputs: Any) -> None:
    with np.load(folder / "outputs.npz") as file:
        np.savez(folder / "outputs.npz", **{**file, **outputs})


def rows(folder: Path) -> dict[str, Row]:
    (vector,) = find_vectors(folder)
    return {row.output: row for row in parity.run(vector)}


def test_a_tree_or_one_folder_passes(losses: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(losses)]) == 0
    assert parity.main([str(losses.parents[1])]) == 0
    printed = capsys.readouterr().out
    assert "tokenhmr/losses" in printed
    assert "tokenhmr/tokens" in printed
    assert "fail " not in printed
    assert parity.main([str(losses.parents[1]), "--only", "*/tok*"]) == 0
    assert "tokenhmr/losses" not in capsys.readouterr().out


def test_errors_above_the_tolerance_fail(losses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(losses, geodesic=np.array(np.pi / 6 + 0.9e-4))
    assert parity.main([str(losses)]) == 0
    change(losses, geodesic=np.array(np.pi / 6 + 1.1e-4))
    assert not rows(losses)["geodesic"].passed
    assert rows(losses)["pose"].passed
    assert parity.main([str(losses)]) == 1
    assert "1.10e-04" in capsys.readouterr().out


@pytest.mark.parametrize(("scale", "passed"), [(1.0, False), (100.0, True)])
def test_tolerance_is_relative_to_large_outputs(scale: float, passed: bool, losses: Path) -> None:
    expected = scale * np.linspace(-1, 1, 9)
    change(losses, pose=expected)
    (vector,) = find_vectors(losses)
    row = next(compare(vector, {"pose": torch.from_numpy(expected + 2e-4)}))
    assert row.absolute == pytest.approx(2e-4)
    assert row.relative == pytest.approx(2e-4 / scale)
    assert row.passed == passed


def test_not_a_number_fails(losses: Path) -> None:
    change(losses, geodesic=np.array(np.nan))
    assert not rows(losses)["geodesic"].passed


def test_missing_outputs_and_other_shapes_fail(losses: Path) -> None:
    change(losses, pose=np.zeros(3), extra=np.zeros(1))
    found = rows(losses)
    assert found["pose"].note == "expected shape (3,), found ()"
    assert found["extra"].note == "not computed"
    assert not found["pose"].passed
    assert not found["extra"].passed


def test_no_builder_fails(losses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "other" / "net", "other.net", {}, {})
    assert parity.main([str(tmp_path)]) == 1
    assert "no builder for other.net" in capsys.readouterr().out
    assert parity.main([str(tmp_path), "--only", "tokenhmr.*"]) == 0


def test_a_vector_that_cannot_run_does_not_hide_the_others(losses: Path, tokenizer: Path) -> None:
    (tokenizer / "state_dict.safetensors").unlink()
    found = [row for vector in find_vectors(losses.parents[1]) for row in parity.run(vector)]
    assert [row.passed for row in found].count(False) == 1
    assert len(found) > 3
    (losses / "config.json").write_text("{}")
    assert parity.main([str(losses)]) == 1


def test_one_wrong_index_fails_unless_the_codes_tie(tokenizer: Path) -> None:
    with np.load(tokenizer / "outputs.npz") as file:
        indices = file["indices"].copy()
    indices[7] = (indices[7] + 1) % CONFIG.codes
    margin = np.full(indices.shape, 0.5, np.float32)
    change(tokenizer, indices=indices)
    assert not rows(tokenizer)["indices"].passed
    change(tokenizer, code_margin=margin)
    assert not rows(tokenizer)["indices"].passed
    margin[6] = 1e-6  # another token
    change(tokenizer, code_margin=margin)
    assert not rows(tokenizer)["indices"].passed
    margin[7] = 1e-6
    change(tokenizer, code_margin=margin)
    found = rows(tokenizer)
    assert found["indices"].passed
    assert found["indices"].note == "1 of 120 differ, 1 of them ties"
    assert "code_margin" not in found


def test_what_follows_a_tie_is_decoded_from_the_same_code(tokenizer: Path) -> None:
    model = tokenizer_checkpoint.import_tokenizer(Vector(tokenizer, "x").weights, CONFIG, "x")
    with np.load(tokenizer / "outputs.npz") as file:
        indices = file["indices"].copy()
    indices[7] = (indices[7] + 1) % CONFIG.codes
    with torch.no_grad():
        other = model.decode_tokens(torch.from_numpy(indices).unflatten(0, (3, -1))).numpy()
    change(tokenizer, indices=indices, recon_rotmat=other)
    assert not rows(tokenizer)["recon_rotmat"].passed
    margin = np.full(indices.shape, 0.5, np.float32)
    margin[7] = 0
    change(tokenizer, code_margin=margin)
    assert rows(tokenizer)["recon_rotmat"].passed


def test_nothing_to_compare_is_an_error(losses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([str(tmp_path / "empty")], "Expected folders with config.json"),
        ([str(losses), "--only", "zebra"], "Expected a vector named 'zebra', found tokenhmr/losses"),
    ):
        with pytest.raises(SystemExit) as stopped:
            parity.main(arguments)
        assert stopped.value.code == 1
        assert message in capsys.readouterr().err


@pytest.mark.shared
@pytest.mark.parametrize("pattern", ["tokenhmr/tokenizer*", "quantizer*", "tokenhmr/rotations"])
def test_published_tokenizer_is_matched(pattern: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([str(shared / "parity"), "--only", pattern]) == 0, capsys.readouterr().out
