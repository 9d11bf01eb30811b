"""PCT's tokenizer and classifier and PostoMETRO, a few steps each on pictures of a few people, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import nn

from mocap.body.smpl_file import read_smpl
from mocap.cli.parser import add_config, build, new_parser
from mocap.errors import MocapError
from mocap.models.backbones import make_backbone
from mocap.models.blazepose_backbone import BlazePoseBackbone
from mocap.models.pct import PctHead
from mocap.models.postometro_network import PostoMetroNetwork
from mocap.models.published import import_checkpoint, load_body, load_network
from mocap.models.resnet import ResNet, ResNetConfig
from tests.training.published.pictures import write_shard
from training.harness import Share, TrainConfig, train
from training.published.backbones import BackboneSizes, start
from training.published.metro import COCO17, JOINTS14, MeshSizes
from training.published.pct import PctNetworks, load_tokenizer, poses_px, read_pct
from training.published.sets import SetsConfig
from training.train_pct_classifier import ClassifierSizes, PctClassifierRun, PctClassifierTask, classifier_config
from training.train_pct_tokenizer import PctTokenizerRun, PctTokenizerTask, TokenizerSizes
from training.train_postometro import PostoMetroRun, PostoMetroTask, network_config, program

CONFIGS = Path(__file__).parents[2] / "configs"
SIDE, CPU = 32, torch.device("cpu")
BACKBONE = BackboneSizes(width=4, blocks=[1, 1, 1])
TOKENIZER = TokenizerSizes(
    tokens=6, codes=16, code_dim=8, layers=1, width=12, hidden=8, decoder_width=8, decoder_hidden=8, token_hidden=8
)
CLASSIFIER = ClassifierSizes(channels=8, conv_blocks=1, layers=1, width=8, hidden=8, token_hidden=8)
MESH = MeshSizes(
    layers=1, width=16, hidden=16, reduced_width=8, reduced_hidden=8, heads=2, dropout=0.0, vertices=400,
    middle=60, coarse=20, mixers=1, mixer_hidden=8, mixer_token_hidden=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("postometro")
    write_shard(folder / "pictures", people=12, size=40)
    write_shard(folder / "pictures_val", people=5, size=40, seed=1)
    return folder


def sets(folder: Path) -> SetsConfig:
    return SetsConfig([f"rendered={folder / 'pictures'}"], validation=str(folder / "pictures_val"), threads=1)


def how(folder: Path, name: str, steps: int = 4, **others: object) -> TrainConfig:
    return TrainConfig(
        out=str(folder / name), steps=steps, batch_size=4, learning_rate=1e-3, warmup_steps=1, ema_decay=0.5,
        accelerator="cpu", log_every=1, validate_every=2, checkpoint_every_s=0.0, **others,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Path:
    run = PctTokenizerRun(side=SIDE, network=TOKENIZER, sets=sets(folder), train=how(folder, "tokenizer"))
    return train(run.train, PctTokenizerTask(run))


def classifier_run(folder: Path, tokenizer: Path, name: str = "classifier") -> PctClassifierRun:
    return PctClassifierRun(
        tokenizer=str(tokenizer), network=CLASSIFIER, backbone=BACKBONE, sets=sets(folder), train=how(folder, name)
    )


@pytest.fixture(scope="module")
def classifier(folder: Path, tokenizer: Path) -> Path:
    run = classifier_run(folder, tokenizer)
    return train(run.train, PctClassifierTask(run))


@pytest.fixture(scope="module")
def run(folder: Path, classifier: Path) -> PostoMetroRun:
    return PostoMetroRun(
        pct=str(classifier), side=SIDE, network=MESH, backbone=BACKBONE, sets=sets(folder), train=how(folder, "mesh")
    )


@pytest.fixture(scope="module")
def whole(run: PostoMetroRun) -> Path:
    """A run that was not interrupted."""
    return train(run.train, PostoMetroTask(run))


def curve(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def share(step: int = 0) -> Share:
    return Share(step, 0, slice(0, 4), CPU)


def without_gradient(task: PctTokenizerTask | PctClassifierTask | PostoMetroTask) -> list[str]:
    """Parameters that learn, and that the loss does not reach; several processes would wait for them."""
    torch.manual_seed(0)
    model = task.model().train()
    task.loss(model, None, share())["loss"].backward()  # type: ignore[arg-type]
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad and weight.grad is not None]
    assert frozen == []
    return [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]


def test_everything_that_learns_has_a_gradient(folder: Path, tokenizer: Path, run: PostoMetroRun) -> None:
    first = PctTokenizerRun(side=SIDE, network=TOKENIZER, sets=sets(folder), train=how(folder, "none"))
    second = PctClassifierTask(classifier_run(folder, tokenizer, "none"))
    assert without_gradient(PctTokenizerTask(first)) == without_gradient(second) == []
    for other in (
        run,
        replace(run, pct=""),
        replace(run, network=replace(MESH, smpl_hidden=8)),
        replace(run, tokens="true"),
    ):
        assert without_gradient(PostoMetroTask(other)) == []


def test_the_classifier_leaves_the_tokenizer_as_it_was(tokenizer: Path, classifier: Path) -> None:
    found = torch.load(classifier / "last.ckpt", weights_only=True)["model"]
    for name, value in load_tokenizer(str(tokenizer))[0].tokenizer.state_dict().items():
        torch.testing.assert_close(found[f"head.tokenizer.{name}"], value, rtol=0, atol=0)


def test_pct_stays_frozen_and_its_backbone_does_not_drift(classifier: Path, whole: Path) -> None:
    """Running statistics of batch norms, too."""
    path, _ = read_pct(str(classifier), "pct_classifier")
    trained, state = torch.load(path, weights_only=True)["ema"], torch.load(whole / "last.ckpt", weights_only=True)
    names = [name for name in state["model"] if name.startswith("pct.")]
    assert names
    for name in names:
        torch.testing.assert_close(state["model"][name], trained[f"module.{name.removeprefix('pct.')}"], rtol=0, atol=0)


def test_a_run_goes_on_along_the_same_curve(run: PostoMetroRun, whole: Path, folder: Path) -> None:
    halves = replace(run, train=replace(how(folder, "halves"), stop_after_s=1e-9))
    for _ in range(4):  # a step each
        train(halves.train, PostoMetroTask(halves))
    assert curve(folder / "halves") == pytest.approx(curve(whole), rel=1e-4)


def test_mixed_precision_starts_on_the_same_curve(
    folder: Path, tokenizer: Path, classifier: Path, run: PostoMetroRun, whole: Path
) -> None:
    first = PctTokenizerRun(side=SIDE, network=TOKENIZER, sets=sets(folder), train=how(folder, "tokenizer"))
    for exact, task in (
        (tokenizer, PctTokenizerTask(first)),
        (classifier, PctClassifierTask(classifier_run(folder, tokenizer))),
        (whole, PostoMetroTask(run)),
    ):
        mixed = curve(train(how(folder, f"{exact.name}_mixed", precision="bf16-mixed"), task))
        assert mixed[1] == pytest.approx(curve(exact)[1], rel=0.02)
        assert mixed[1] != curve(exact)[1]
        assert np.isfinite(list(mixed.values())).all()


def test_the_loss_of_one_batch_falls(run: PostoMetroRun) -> None:
    task = PostoMetroTask(replace(run, augmentation=replace(run.augmentation, scale=0, rotation_rate=0, color=0)))
    torch.manual_seed(0)
    model, losses = task.model().train(), []
    batch = task.batches(share())
    task.batches = lambda share: batch  # type: ignore[assignment, method-assign]
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], 3e-3)
    for step in range(25):
        loss = task.loss(model, None, share(step))["loss"]  # type: ignore[arg-type]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_what_a_run_leaves_can_be_imported(whole: Path, tmp_path: Path) -> None:
    path = import_checkpoint("postometro", [whole / "best.ckpt"], out=tmp_path / "postometro.safetensors")
    network, body = load_network("postometro", path), load_body(path)
    assert isinstance(network, PostoMetroNetwork)
    assert body is not None
    assert (body.faces == read_smpl(whole / "body.npz").faces).all()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, SIDE, SIDE)).vertices.shape == (2, 400, 3)


def test_true_and_noisy_tokens_are_others(run: PostoMetroRun) -> None:
    task = PostoMetroTask(run)
    torch.manual_seed(0)
    model, batch = task.model().eval(), task.batches(share())
    assert isinstance(model, PostoMetroNetwork)
    assert isinstance(model.pct.head, PctHead)  # type: ignore[union-attr]
    plain, noisy, again = (task._tokens(model, batch, sigma, 3) for sigma in (0.0, 5.0, 5.0))
    task.config = replace(run, tokens="true")
    true = task._tokens(model, batch, 0.0, 3)
    assert plain is not None
    assert noisy is not None
    assert again is not None
    assert true is not None
    assert torch.equal(noisy[0], again[0])
    assert not torch.allclose(noisy[0], plain[0])
    assert torch.equal(true[1], torch.full_like(plain[1], 10.0))
    codes = model.pct.head.tokenizer.quantizer.codebook  # type: ignore[union-attr, operator]
    assert float(torch.cdist(true[0].flatten(0, 1), codes).amin(1).max()) < 1e-3  # type: ignore[arg-type]


def test_fine_tuning_starts_at_the_weights_of_a_run(
    run: PostoMetroRun, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = PostoMetroTask(replace(run, start=str(whole / "best.ckpt"))).model().state_dict()
    kept = torch.load(whole / "best.ckpt", weights_only=True)["ema"]
    for name, value in tuned.items():
        assert torch.equal(value, kept[f"module.{name}"]), name
    program(replace(run, start=str(whole / "best.ckpt"), measure=True))
    best = json.loads((whole / "run.json").read_text())["validation"]
    assert json.loads(capsys.readouterr().out) == pytest.approx(best, rel=1e-5)


def test_labels_are_those_of_the_people(run: PostoMetroRun) -> None:
    """The mesh has the joints of the samples, and the middle mesh is some of it."""
    task = PostoMetroTask(run)
    batch = task.batches(share())
    labels = task.body.labels(batch)
    found = task.body.joints(labels.vertices)
    assert bool(labels.has_mesh.all())
    assert bool((labels.joints[..., 3] > 0).all(0).sum() == 14)
    pelvis = [labels.joints[:, [2, 3], :3].mean(1, keepdim=True), found[:, [2, 3]].mean(1, keepdim=True)]
    off = ((labels.joints[..., :3] - pelvis[0]) - (found - pelvis[1])).norm(dim=-1)
    assert float(off.mean()) < 0.02  # m, a coarse mesh's joints
    torch.testing.assert_close(labels.middle, labels.vertices[:, task.body.levels.down[0].indices])


def test_the_points_of_pct_are_among_those_of_metro() -> None:
    from training.datasets.images.joint_sets import JOINT_SETS

    names = [JOINT_SETS["spin24"][at].rpartition(" ")[2] for at in COCO17]
    assert tuple(names) == JOINT_SETS["coco17"]
    assert [JOINT_SETS["open24"][at] for at in JOINTS14][-2:] == ["lsp neck", "head"]
    assert JOINT_SETS["spin24"][JOINTS14[-1]] == "human36m head"
    poses = poses_px(torch.tensor([[[-0.5, 0.25, 0.7], [9.0, 9.0, 0.0]]]), 40)
    assert poses.tolist() == [[[0.0, 30.0, 1.0], [0.0, 0.0, 0.0]]]


def test_guidance_goes_through_all_stages(folder: Path, tmp_path: Path) -> None:
    """The tokenizer sees features of a frozen backbone, which the true tokens want again."""
    torch.save(ResNet(BACKBONE.config()).state_dict(), tmp_path / "backbone.pth")  # type: ignore[arg-type]
    guide = replace(BACKBONE, weights=str(tmp_path / "backbone.pth"))
    guided = replace(TOKENIZER, guide_ratio=0.5)
    first = PctTokenizerRun(
        side=SIDE, network=guided, guide=guide, sets=sets(folder), train=how(tmp_path, "tokenizer", 2)
    )
    assert without_gradient(PctTokenizerTask(first)) == []
    tokenizer = train(first.train, PctTokenizerTask(first))
    second = replace(classifier_run(folder, tokenizer), train=how(tmp_path, "classifier", 2))
    classifier = train(second.train, PctClassifierTask(second))
    third = PostoMetroRun(
        pct=str(classifier), side=SIDE, network=MESH, backbone=BACKBONE, sets=sets(folder), tokens="true",
        tokenizer=str(tokenizer), train=how(tmp_path, "mesh", 2),
    )  # fmt: skip
    assert without_gradient(PostoMetroTask(third)) == []
    with pytest.raises(MocapError, match=r"--tokenizer"):
        PostoMetroTask(replace(third, tokenizer=""))
    with pytest.raises(MocapError, match=r"--guide.weights"):
        PctTokenizerTask(replace(first, guide=BACKBONE))
    with pytest.raises(MocapError, match=r"64 channels that guide"):
        PctClassifierTask(replace(second, backbone=replace(BACKBONE, width=8)))


def test_backbones_start_where_a_file_says(classifier: Path, tmp_path: Path) -> None:
    backbone = make_backbone(BACKBONE.config())
    start(backbone, str(classifier / "best.ckpt"))
    kept = torch.load(classifier / "best.ckpt", weights_only=True)["ema"]
    assert torch.equal(backbone.state_dict()["conv1.weight"], kept["module.backbone.conv1.weight"])
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(MocapError, match=r"other.pth: expected weights of the backbone.*no conv1.weight"):
        start(backbone, str(tmp_path / "other.pth"))
    with pytest.raises(MocapError, match=r"found conv1.weight \(4, 3, 7, 7\)"):
        start(make_backbone(ResNetConfig((1, 1, 1), 8)), str(classifier / "best.ckpt"))


def test_missing_runs_and_files(run: PostoMetroRun, folder: Path, tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(MocapError, match=r"training.train_pct_classifier.*train it first"):
        PostoMetroTask(replace(run, pct=str(tmp_path)))
    with pytest.raises(MocapError, match=r"expected a run of training.train_pct_classifier, found .*pct_tokenizer"):
        PostoMetroTask(replace(run, pct=str(tokenizer)))
    with pytest.raises(MocapError, match=r"training.train_pct_tokenizer"):
        PctClassifierTask(replace(classifier_run(folder, tmp_path)))
    with pytest.raises(MocapError, match="SMPL"):
        PostoMetroTask(replace(run, smpl=str(tmp_path / "SMPL_NEUTRAL.pkl")))
    with pytest.raises(MocapError, match="shards"):
        PostoMetroTask(replace(run, sets=SetsConfig([f"rendered={tmp_path}"])))
    with pytest.raises(MocapError, match=r"--start"):
        program(replace(run, measure=True))


def configured(name: str) -> PctTokenizerRun | PctClassifierRun | PostoMetroRun:
    """A run of the program that a file of configs/ is for."""
    kinds = {"train_pct_tokenizer": PctTokenizerRun, "train_pct_classifier": PctClassifierRun}
    kind = kinds.get(name.rpartition("_")[0], PostoMetroRun)
    parser = new_parser()
    add_config(parser, kind)
    found: PctTokenizerRun | PctClassifierRun | PostoMetroRun = build(
        kind, parser.parse_args(["--config", str(CONFIGS / f"{name}.yaml")])
    )
    return found


def network_of(tokenizer: str, classifier: str, mesh: str) -> tuple[int, int]:
    """Numbers of the whole network of three configurations, PCT's codes among them, but without BlazePose's, which do
    not learn; and of PCT's tokenizer, which does not run. Without memory."""
    first, second, third = (configured(name) for name in (tokenizer, classifier, mesh))
    assert isinstance(first, PctTokenizerRun)
    assert isinstance(second, PctClassifierRun)
    assert isinstance(third, PostoMetroRun)
    backbone = second.backbone.config()
    given = PctNetworks(first.network.config(backbone.features), None, first.side)
    pct = PctNetworks(classifier_config(second.network, given, backbone), backbone, first.side)
    sizes = third.network
    config = network_config(third, (sizes.middle, sizes.coarse), pct)
    with torch.device("meta"):
        network = PostoMetroNetwork(config, np.eye(sizes.coarse, dtype=bool), csr_matrix((500, sizes.middle)))
    assert network.pct is not None
    tokens = network.pct.head.tokenizer
    frozen = [part for part in (network.metro.backbone, network.pct.backbone) if isinstance(part, BlazePoseBackbone)]
    outside = sum(weight.numel() for part in frozen for weight in part.parameters())
    whole = sum(weight.numel() for weight in network.parameters()) + tokens.quantizer.codebook.numel() - outside
    return whole, sum(weight.numel() for weight in tokens.parameters())


def test_the_small_network_has_three_million_parameters() -> None:
    whole, idle = network_of("train_pct_tokenizer_small", "train_pct_classifier_small", "train_postometro_small")
    assert whole == pytest.approx(3e6, rel=0.03)
    assert whole - idle == pytest.approx(3e6, rel=0.03)


@pytest.mark.parametrize("mesh", ["train_postometro_paper", "train_postometro_3dpw", "train_postometro_3doh"])
def test_the_networks_of_the_paper(mesh: str) -> None:
    """The mesh transformer with ResNet-50 has the 28 + 24 million of its size L; PCT's HRNet-W48 comes on top."""
    whole, _ = network_of("train_pct_tokenizer_paper", "train_pct_classifier_paper", mesh)
    assert 120e6 < whole < 180e6
    assert configured(mesh).train.out == f"out/{mesh.removeprefix('train_')}"
