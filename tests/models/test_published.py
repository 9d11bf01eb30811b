"""Released files of small random networks, imported and in the live loop."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engines.export import export
from mocap.__main__ import main
from mocap.assets import asset_path
from mocap.body.limb_lengths import limb_lengths
from mocap.body.skeleton import load_skeleton
from mocap.body.smpl_file import read_smpl, write_smpl
from mocap.config import CaptureConfig
from mocap.errors import MocapError
from mocap.models import independent_tokens, network_file, published
from mocap.models.mesh_graph import connections
from mocap.models.mesh_vqvae import MeshVQVAE
from mocap.models.systems import SYSTEMS
from mocap.models.vqhps_network import VQHPSNetwork
from mocap.pipeline import Pipeline
from mocap.sources.video import VideoFile
from mocap.types import Frame
from tests.body.small_body import random_body
from tests.models import test_independent_tokens, test_mesh_vqvae, test_tokenhmr_checkpoint, test_vqhps
from tests.models.small_capture import CAMERA, person
from tests.models.small_networks import CONFIGS, INT, VQHPS, network, small_body

RELEASED = [system for system in SYSTEMS if system != "postometro"]
NETWORKS = [system for system in SYSTEMS if system != "hmr2"]  # which is TokenHMR's


def released(system: str, folder: Path) -> list[Path]:
    """What its authors would publish."""
    if system == "int":
        torch.save(
            {"state_dict": test_independent_tokens.released(INT), "epoch": 9, "performance": np.float64(52.1)},
            folder / "int.pth.tar",
        )
        return [folder / "int.pth.tar"]
    if system == "vqhps":
        return released_vqhps(folder)
    torch.save({"state_dict": test_tokenhmr_checkpoint.model(CONFIGS[system]), "epoch": 3}, folder / "model.ckpt")
    if system == "hmr2":
        return [folder / "model.ckpt"]
    arch = {"net": test_tokenhmr_checkpoint.tokenizer()[1], "hparams": {"ARCH": test_tokenhmr_checkpoint.ARCH}}
    torch.save(arch, folder / "tokenizer.pth")
    return [folder / "tokenizer.pth", folder / "model.ckpt"]


def trained(system: str, folder: Path, averaged: bool = True) -> Path:
    """A checkpoint of a run of the harness; its last weights are others than their average."""
    body = small_body()
    module = network(system, body)
    state = module.state_dict()
    average = {"n_averaged": torch.tensor(9), **{f"module.{name}": value for name, value in state.items()}}
    last = {name: value + 1 if averaged and value.is_floating_point() else value for name, value in state.items()}
    about = {"system": system, "config": dataclasses.asdict(module.config), "phase": 3}  # type: ignore[call-overload]
    write_smpl(folder / "body.npz", body)
    run = {
        "network": about,
        "model": last,
        "ema": average if averaged else None,
        "optimizer": {},
        "step": 1,
        "best": 2.0,
    }
    torch.save(run, folder / "best.ckpt")
    return folder / "best.ckpt"


def released_vqhps(folder: Path) -> list[Path]:
    """Of a mesh that is smaller than SMPL's, with few levels."""
    body = small_body()
    matrices = connections(body.faces, body.v_template, (9,))
    (folder / "matrices").mkdir(exist_ok=True)
    for name, found in zip(VQHPS.connections, matrices, strict=True):
        np.save(folder / "matrices" / f"_{name}.npy", found.rows)
    np.save(folder / "J_regressor_h36m.npy", body.J_regressor[: VQHPS.regressor.joints])
    torch.manual_seed(1)
    mesh = MeshVQVAE(VQHPS.mesh, matrices)
    torch.save({"model": test_mesh_vqvae.released(mesh), "epoch": 1}, folder / "mesh.pth")
    torch.save({"model": test_vqhps.released(test_vqhps.regressor(VQHPS.regressor))}, folder / "vqhps.pth")
    return [folder / name for name in ("vqhps.pth", "matrices", "mesh.pth", "J_regressor_h36m.npy")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines of all tests: those that find people are built once."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def place(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of this test."""
    monkeypatch.setenv(network_file.FOLDER, str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MOCAP_ENGINE_CACHE", str(built))


@pytest.fixture
def imported(tmp_path: Path, place: None) -> Callable[[str], Path]:
    """Imports a system, with the open body's coarse mesh as if it were SMPL's file."""
    body = tmp_path / "SMPL_NEUTRAL.npz"
    write_smpl(body, small_body())

    def take(system: str) -> Path:
        if system not in RELEASED:
            return published.import_checkpoint(system, [trained(system, tmp_path)])
        return published.import_checkpoint(system, released(system, tmp_path), body, config=CONFIGS[system])

    return take


@pytest.mark.parametrize("system", RELEASED)
def test_what_is_imported_is_what_was_released(system: str, imported: Callable[[str], Path], tmp_path: Path) -> None:
    path = imported(system)
    assert path == network_file.path_of(system)
    network = published.load_network(system)
    expected = SYSTEMS[system].read(released(system, tmp_path), CONFIGS[system], small_body())
    assert network.config == expected.config
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor)
    assert json.loads(path.with_suffix(".json").read_text())["files"][-1] == "SMPL_NEUTRAL.npz"
    skeleton = published.skeleton_of(published.load_body(path))
    assert skeleton is not None
    np.testing.assert_allclose(skeleton.mean, load_skeleton().mean, atol=5e-3)


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("system", SYSTEMS)
def test_what_was_trained_is_imported(system: str, averaged: bool, tmp_path: Path, place: None) -> None:
    """With its body, and the average of its weights where there is one."""
    path = published.import_checkpoint(system, [trained(system, tmp_path, averaged)])
    body = small_body()
    expected, found = network(system, body), published.load_network(system)
    assert found.config == expected.config
    assert not found.training
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor)
    kept = published.load_body(path)
    assert kept is not None
    for name, array in vars(body).items():
        np.testing.assert_array_equal(getattr(kept, name), array)
    assert json.loads(path.with_suffix(".json").read_text())["files"] == ["best.ckpt", "body.npz"]


@pytest.mark.parametrize("system", ["vqhps", "postometro"])
def test_a_mesh_wants_its_body(system: str, tmp_path: Path, place: None) -> None:
    checkpoint = trained(system, tmp_path)
    (tmp_path / "body.npz").unlink()
    with pytest.raises(MocapError, match=r"of vqhps's \d+ vertices, found no body.*body\.npz".replace("vqhps", system)):
        published.import_checkpoint(system, [checkpoint])
    np.savez(tmp_path / "other.npz", **random_body(60))
    with pytest.raises(MocapError, match="found one of 60 vertices"):
        published.import_checkpoint(system, [checkpoint], tmp_path / "other.npz")
    assert not network_file.path_of(system).exists()


def test_networks_of_several_topologies_are_saved_whole(tmp_path: Path) -> None:
    """A body of few vertices, random ones, as training on a coarser body writes it."""
    np.savez(tmp_path / "small.npz", **random_body(90))
    body = read_smpl(tmp_path / "small.npz")
    module = network("postometro", body)
    path = published.save_network("postometro", module, body, tmp_path / "deep" / "small.safetensors")
    picture = torch.rand(1, 3, 64, 64)
    found = published.load_network("postometro", path)
    torch.testing.assert_close(found(picture).vertices, module(picture).vertices)
    assert found(picture).vertices.shape == (1, 90, 3)
    with pytest.raises(MocapError, match="expected a network of int with IndependentTokensConfig, found PostoMetro"):
        published.save_network("int", module, body, path)


def test_second_rotation_is_kept(tmp_path: Path) -> None:
    """VQ-HPS-rot."""
    body = small_body()
    plain = network("vqhps", body)
    config = replace(VQHPS, regressor=replace(VQHPS.regressor, refine_rotation=True))
    assert isinstance(plain, VQHPSNetwork)
    rows = [getattr(plain, f"rows{number}") for number in range(6)]
    module = VQHPSNetwork(config, rows, plain.network.joint_regressor, torch.from_numpy(body.v_template)).eval()
    path = published.save_network("vqhps", module, body, tmp_path / "rot.safetensors")
    found, picture = published.load_network("vqhps", path), torch.rand(1, 3, 64, 64)
    assert found.config.regressor.refine_rotation  # type: ignore[union-attr]
    prediction = found(picture)
    assert (prediction.R - prediction.first_R).abs().max() > 1e-3
    torch.testing.assert_close(prediction.R, module(picture).R)


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_runs_frame_by_frame_and_nobody_changes_another(system: str, imported: Callable[[str], Path]) -> None:
    imported(system)
    alone, together = (published.load_regressor(system, "eager", 2) for _ in range(2))
    rng = np.random.default_rng(0)
    for index in range(20):
        frame = Frame(index, index / 30, rng.integers(0, 255, (720, 1280, 3), np.uint8))
        (one,) = alone(frame, [person(0)], CAMERA)
        other, same = together(frame, [replace(person(1), track_id=4), person(0)], CAMERA)
        np.testing.assert_allclose(same.R_parent_joint, one.R_parent_joint, atol=1e-3)
        assert np.abs(other.R_parent_joint - one.R_parent_joint).max() > 1e-3
    R = one.R_parent_joint
    assert np.allclose(R @ R.swapaxes(1, 2), np.eye(3), atol=1e-4)
    assert np.abs(one.betas).max() > 1e-3


@pytest.mark.parametrize("system", NETWORKS)
def test_its_graph_is_whole_and_static(system: str, imported: Callable[[str], Path]) -> None:
    imported(system)
    network = published.as_network(system, 2)
    program = export(network.build(), network.spec, 2, strict=True)
    assert not program.range_constraints


@pytest.mark.parametrize("system", NETWORKS)
def test_the_whole_path_runs(system: str, imported: Callable[[str], Path]) -> None:
    """From the video's frames to placed poses, with random weights; once by the engine that ``auto`` takes."""
    imported(system)
    engine = "auto" if system == "int" else "eager"  # building takes the longest
    pipeline = Pipeline(CaptureConfig(regressor=system, engine=engine))  # type: ignore[arg-type]
    with VideoFile(asset_path("demo.mp4")) as video:
        frames = [video.read() for _ in range(6)]
    results = [pipeline(frame, 0.0)[0][1] for frame in frames if frame is not None]
    assert len(results[-1].poses) == 1
    assert all(np.isfinite(pose.p_world_joint).all() for result in results for pose in result.poses)


def test_engines_are_built_beforehand(imported: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Of what captures with a published network run; one that was not imported is told at once."""
    imported("int")
    command = ["engines", "build", "--backend", "openvino", "--regressor"]
    assert main([*command, "int", "--verify"]) == 0
    told = capsys.readouterr().out
    for name in ("blazepose_detector", "blazepose_landmarker", "int"):
        assert f"{name:22s} openvino:CPU float32" in told
    assert told.count("  ok") == 3
    assert "whole chain" not in told
    assert main([*command, "vqhps"]) == 1
    assert "mocap import-checkpoint FILE... --system vqhps" in capsys.readouterr().err


def test_shapes_keep_their_limb_lengths() -> None:
    """From the open body to itself, as SMPL's betas would become the open body's."""
    skeleton, betas = load_skeleton(), np.random.default_rng(0).normal(0, 0.8, (5, 10))
    found = published.shape_of(skeleton, betas)
    off_m = limb_lengths(skeleton.rest_joints(found)) - limb_lengths(skeleton.rest_joints(betas))
    assert np.abs(off_m).max() < 0.01
    assert np.isnan(published.shape_of(skeleton, np.full((1, 10), np.nan))).all()
    assert not published.shape_of(None, betas).any()
    assert np.isfinite(published.shape_of(skeleton, np.full((1, 10), 1e4))).all()  # absurd, and no reason to stop


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_bad_files_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(network_file.FOLDER, str(tmp_path))
    with pytest.raises(MocapError, match=r"mocap import-checkpoint FILE\.\.\. --system tokenhmr"):
        published.load_regressor("tokenhmr")
    with pytest.raises(MocapError, match="expected a system of tokenhmr, hmr2, int, vqhps, postometro; found 'hmr'"):
        published.import_checkpoint("hmr", [])
    with pytest.raises(MocapError, match="found no file"):
        published.import_checkpoint("int", [tmp_path / "nowhere.pth"])
    marker = tmp_path / "it ran"
    torch.save({"state_dict": Hostile(marker)}, tmp_path / "hostile.pth")
    with pytest.raises(MocapError, match="tensors and settings only, found code"):
        published.import_checkpoint("int", [tmp_path / "hostile.pth"])
    assert not marker.exists()
    files = released_vqhps(tmp_path)
    body = tmp_path / "SMPL_NEUTRAL.npz"
    write_smpl(body, small_body())
    np.save(files[-1], np.zeros((9, 7), np.float32))
    with pytest.raises(MocapError, match=r"expected J_regressor_h36m\.npy of \(5, \d+\), found \(9, 7\)"):
        published.import_checkpoint("vqhps", files, body, config=VQHPS)
    with pytest.raises(MocapError, match=r"expected the regressor's checkpoint.* found vqhps\.pth, matrices"):
        published.import_checkpoint("vqhps", files[:2], body, config=VQHPS)
    published.import_checkpoint("int", released("int", tmp_path), config=INT, out=network_file.path_of("tokenhmr"))
    with pytest.raises(MocapError, match="expected a checkpoint of tokenhmr, found one of int"):
        published.load_regressor("tokenhmr")


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(network_file.FOLDER, str(tmp_path / "checkpoints"))
    small = [str(path) for path in released("int", tmp_path)]
    assert main(["import-checkpoint", "nowhere.pth", "--system", "int"]) == 1
    assert "found no file nowhere.pth" in capsys.readouterr().err
    assert main(["import-checkpoint", *small, "--system", "int"]) == 1  # a network of another size
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "expected" in told
    assert not network_file.path_of("int").exists()
    assert main(["file", str(asset_path("demo.mp4")), "--regressor", "int", "--out", str(tmp_path)]) == 1
    assert "mocap import-checkpoint FILE... --system int" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.take"))


def test_the_command_tells_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(network_file.FOLDER, str(tmp_path / "checkpoints"))
    sized = dataclasses.replace(SYSTEMS["int"], read=lambda files, _, body: independent_tokens.read(files, INT))
    monkeypatch.setitem(SYSTEMS, "int", sized)
    assert main(["import-checkpoint", *map(str, released("int", tmp_path)), "--system", "int"]) == 0
    told = capsys.readouterr().out
    assert str(network_file.path_of("int")) in told
    assert "mocap live --regressor int" in told
    assert "mean shape" in told
