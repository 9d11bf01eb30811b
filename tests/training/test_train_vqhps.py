"""Training of Mesh-VQ-VAE and VQ-HPS, end to end on a few random poses and pictures of dots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocap.body.torch_rotations import random_rotations
from mocap.errors import MocapError
from mocap.models import published
from mocap.models.mesh_vqvae import MeshVQVAE, MeshVQVAEConfig
from mocap.models.resnet import ResNetConfig
from mocap.models.vqhps import VQHPSConfig
from mocap.models.vqhps_network import VQHPSNetwork
from tests.training.published.pictures import write_shard
from tests.training.small_corpus import write_small_corpus
from training.harness import Share, TrainConfig, train
from training.options import run
from training.published.coarse_body import coarse_body
from training.published.meshes import CanonicalMeshes, MeshNetwork, TrainedMesh, joint_regressor, load_mesh, read_bodies
from training.published.sets import SetsConfig
from training.train_mesh_vqvae import MeshRun, MeshTask
from training.train_vqhps import VQHPSRun, VQHPSTask, sizes

ROOT = Path(__file__).parents[2]
VERTICES = 431
MESH = MeshVQVAEConfig(
    channels=(4, 4, 4, 4, 4, 3), kernels=(2, 0, 2, 2, 0, 2), carried=(0, 1, 0, 0, 1, 0), codes=16
)  # fmt: skip
STEPS = TrainConfig(batch_size=4, warmup_steps=1, ema_decay=0.9, accelerator="cpu", threads=1, log_every=1)
NETWORK = VQHPSConfig(width=16, heads=2, hidden=16, rotation_hidden=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, pictures, and a trained Mesh-VQ-VAE."""
    folder = tmp_path_factory.mktemp("vqhps")
    write_small_corpus(folder / "corpus")
    write_shard(folder / "pictures")
    config = replace(STEPS, out=str(folder / "mesh"), steps=30, batch_size=8, learning_rate=0.01, validate_every=15)
    train(config, MeshTask(mesh_run(folder, config)))
    return folder


def mesh_run(folder: Path, config: TrainConfig) -> MeshRun:
    corpus = str(folder / "corpus")
    return MeshRun(
        corpus=corpus, vertices=VERTICES, counts=[20], validation_meshes=8, network=MESH, train=config
    )  # fmt: skip


def vqhps_run(folder: Path, name: str = "run", steps: int = 4, network: VQHPSConfig = NETWORK) -> VQHPSRun:
    pictures = str(folder / "pictures")
    return VQHPSRun(
        mesh=str(folder / "mesh"),
        side=32,
        resnet=ResNetConfig(blocks=(1, 1, 1), width=4),
        network=network,
        sets=SetsConfig(sets=[f"rendered={pictures}"], validation=pictures, threads=1),
        train=replace(STEPS, out=str(folder / name), steps=steps, validate_every=2),
    )


def curve(folder: Path, what: str) -> list[float]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row[what] for row in rows if what in row]


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    run = vqhps_run(folder, "whole")
    return train(run.train, VQHPSTask(run))


@torch.no_grad()
def test_mesh_vqvae_learns_and_can_be_read(folder: Path) -> None:
    losses = curve(folder / "mesh", "vertices")
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert curve(folder / "mesh", "val_v2v_mm")[-1] > 0
    mesh = load_mesh(folder / "mesh")
    assert mesh.kind == "open"
    assert len(mesh.body.v_template) == VERTICES
    task = MeshTask(mesh_run(folder, replace(STEPS, out=str(folder / "mesh"))))
    figures = task.validate(mesh.network)
    assert figures["v2v_mm"] == pytest.approx(min(curve(folder / "mesh", "val_v2v_mm")), rel=1e-5)
    assert figures["pa_v2v_mm"] < figures["v2v_mm"]


def test_mesh_vqvae_goes_on_from_another_run(folder: Path, tmp_path: Path) -> None:
    started = replace(mesh_run(folder, STEPS), start=str(folder / "mesh" / "best.ckpt"))
    weights = MeshTask(started).model().state_dict()
    for name, value in load_mesh(folder / "mesh").network.state_dict().items():
        torch.testing.assert_close(weights[name], value)
    with pytest.raises(MocapError, match=r"expected a network of .*\[?30"):
        MeshTask(replace(started, counts=[30])).model()


def test_canonical_meshes_know_no_rotation_and_stand_at_the_origin() -> None:
    meshes, R, betas = CanonicalMeshes([coarse_body(VERTICES)]), random_rotations([3, 24]), torch.randn(3, 10)
    vertices = meshes(R, betas)
    torch.testing.assert_close(vertices.mean(1), torch.zeros(3, 3), atol=1e-6, rtol=0)
    turned = torch.cat([random_rotations([3, 1]), R[:, 1:]], 1)
    torch.testing.assert_close(meshes(turned, betas), vertices)
    other = replace(coarse_body(VERTICES), v_template=1.2 * coarse_body(VERTICES).v_template)
    several = CanonicalMeshes([coarse_body(VERTICES), other])(R, betas, torch.tensor([0.0, 1, 0]))
    torch.testing.assert_close(several[[0, 2]], vertices[[0, 2]])
    assert (several[1] - vertices[1]).abs().max() > 0.01


@torch.no_grad()
def test_a_run_goes_through_and_becomes_a_network_of_the_live_loop(folder: Path, whole: Path, tmp_path: Path) -> None:
    assert len(curve(whole, "loss")) == 4
    assert curve(whole, "val_pa_mpjpe_mm")[-1] > 0
    path = published.import_checkpoint("vqhps", [whole / "best.ckpt"], out=tmp_path / "vqhps.safetensors")
    network = published.load_network("vqhps", path)
    assert isinstance(network, VQHPSNetwork)
    assert network.vertices == VERTICES
    task = VQHPSTask(vqhps_run(folder, "whole"))
    assert task.validate(network)["pa_mpjpe_mm"] == pytest.approx(min(curve(whole, "val_pa_mpjpe_mm")), rel=1e-4)
    frozen = load_mesh(folder / "mesh").network.state_dict()
    for name, value in network.network.mesh.state_dict().items():
        torch.testing.assert_close(value, frozen[name])


def test_mixed_precision_starts_on_the_same_curve(folder: Path) -> None:
    still = replace(NETWORK, dropout=0.0, rotation_dropout=0.0)
    for name, precision in (("float32", "32-true"), ("mixed", "bf16-mixed")):
        run = vqhps_run(folder, name, network=still)
        mesh = mesh_run(folder, replace(STEPS, out=str(folder / f"{name}_mesh"), steps=3))
        train(replace(run.train, precision=precision), VQHPSTask(run))
        train(replace(mesh.train, precision=precision), MeshTask(mesh))
    for kind in ("", "_mesh"):
        exact, mixed = (curve(folder / f"{name}{kind}", "loss") for name in ("float32", "mixed"))
        assert mixed[0] == pytest.approx(exact[0], rel=0.02)
        assert mixed[0] != exact[0]
        assert np.isfinite(mixed).all()


def test_a_stopped_run_goes_on_along_the_same_curve(folder: Path) -> None:
    still = replace(NETWORK, dropout=0.0, rotation_dropout=0.0)  # dropout is not a function of the step
    for name, steps in (("stopped", 2), ("stopped", 4), ("straight", 4)):
        run = vqhps_run(folder, name, steps, still)
        train(replace(run.train, schedule="steps"), VQHPSTask(run))  # a cosine would know how far it goes
    np.testing.assert_allclose(curve(folder / "stopped", "loss"), curve(folder / "straight", "loss"), rtol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        replace(NETWORK, refine_rotation=True, dropout=0.0),
        replace(NETWORK, causal_head=True, attend_over_batch=True),
    ],
    ids=["paper", "rot", "released"],
)
def test_everything_learns_but_the_mesh(folder: Path, network: VQHPSConfig) -> None:
    task = VQHPSTask(vqhps_run(folder, network=network))
    model = task.model().train()
    task.loss(model, np.arange(4), Share(0, 0, slice(0, 4), torch.device("cpu")))["loss"].backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) != name.startswith("network.mesh."), name


def test_shapes_of_another_body_or_gender_have_no_tokens(folder: Path) -> None:
    task = VQHPSTask(vqhps_run(folder))
    batch = task.batches(Share(0, 0, slice(0, 4), torch.device("cpu")))
    assert batch["has_betas"].all()
    task.batches = lambda share: {**batch, "gender": torch.ones(4)}  # type: ignore[assignment, misc]
    model = task.model().eval()
    losses = task.loss(model, np.arange(4), Share(0, 0, slice(0, 4), torch.device("cpu")))
    assert losses["mesh"] == 0
    assert losses["rotation"] > 0


@pytest.mark.parametrize("name", ["small", "paper", "release"])
def test_configurations_are_read(name: str) -> None:
    found: list[VQHPSRun] = []
    assert run(VQHPSRun, "", found.append, ["--config", str(ROOT / f"configs/train_vqhps_{name}.yaml")]) == 0
    assert found[0].augmentation.rotation_rate == 0.4
    if name != "release":
        meshes: list[MeshRun] = []
        path = ROOT / f"configs/train_mesh_vqvae_{name}.yaml"
        assert run(MeshRun, "", meshes.append, ["--config", str(path)]) == 0
        assert found[0].mesh == meshes[0].train.out


def test_the_small_network_is_as_large_as_the_others() -> None:
    found: list[VQHPSRun] = []
    meshes: list[MeshRun] = []
    run(VQHPSRun, "", found.append, ["--config", str(ROOT / "configs/train_vqhps_small.yaml")])
    run(MeshRun, "", meshes.append, ["--config", str(ROOT / "configs/train_mesh_vqvae_small.yaml")])
    mesh = untrained(meshes[0])
    config = sizes(found[0], mesh, 24)
    rows = [torch.from_numpy(layer.rows) for layer in mesh.connections]
    network = VQHPSNetwork(
        config, rows, torch.zeros(24, meshes[0].vertices), torch.zeros(meshes[0].vertices, 3)
    ).network  # fmt: skip
    decoder = network.mesh.layers[network.mesh.config.encoder_layers :]
    own = [weight for name, weight in network.regressor.named_parameters() if "backbone" not in name]
    parts = [*own, *decoder.parameters(), network.mesh.quantizer.codebook]  # at inference, beside the frozen backbones
    assert sum(part.numel() for part in parts) == pytest.approx(3.0e6, rel=0.03)


def untrained(config: MeshRun) -> TrainedMesh:
    body = coarse_body(config.vertices)
    found = MeshNetwork(config.network, tuple(config.counts), "open").connections(body)
    return TrainedMesh(MeshVQVAE(config.network, found), found, body, "open")


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"best\.ckpt.*training\.train_mesh_vqvae"):
        VQHPSTask(replace(vqhps_run(folder), mesh=str(tmp_path)))
    with pytest.raises(MocapError, match=r"--h36m FILE"):
        VQHPSTask(replace(vqhps_run(folder), reprojection="h36m17"))
    with pytest.raises(MocapError, match=r"--vertices 0 with --smpl, found 431"):
        read_bodies("SMPL_NEUTRAL.pkl", 431)


def test_human36ms_joints_are_spins(tmp_path: Path) -> None:
    body = coarse_body(VERTICES)
    regressor = np.zeros((17, VERTICES), np.float32)
    regressor[1], regressor[4] = body.J_regressor[1], body.J_regressor[2]  # SMPL's left and right hip
    np.save(tmp_path / "spin.npy", regressor)
    np.save(tmp_path / "other.npy", regressor[[0, 4, 2, 3, 1, *range(5, 17)]])
    np.save(tmp_path / "another.npy", regressor[:, :400])
    torch.testing.assert_close(joint_regressor(body, str(tmp_path / "spin.npy")), torch.from_numpy(regressor))
    with pytest.raises(MocapError, match=r"left hip.*J_regressor_h36m_correct"):
        joint_regressor(body, str(tmp_path / "other.npy"))
    with pytest.raises(MocapError, match=r"431 vertices, found some of 400"):
        joint_regressor(body, str(tmp_path / "another.npy"))
