"""``python -m training.evaluate --system ...``: networks as they are imported, and what is wrong is one clear error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mocap.body.smpl_file import SmplArrays, write_smpl
from mocap.models import published
from mocap.models.network_file import FOLDER
from mocap.models.systems import SYSTEMS
from tests.models import small_networks as small
from tests.models.test_published import released
from tests.training.datasets.images.small_files import save_npz
from tests.training.published import evaluation_files as files
from tests.training.published.evaluation_files import N, V
from training import evaluate as program
from training.published.coarse_body import coarse_body
from training.published.evaluate import PublishedEvaluationConfig, evaluate
from training.published.evaluate_bodies import Bodies
from training.published.evaluate_figures import FIGURES, METRICS, PVE
from training.published.evaluate_protocol import Options
from training.published.evaluate_protocols import PROTOCOLS

DOCS = Path(__file__).parents[3] / "docs" / "published_evaluation.md"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``python -m training.evaluate`` with a small imported TokenHMR of random weights."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "checkpoints"))
    smpl = files.write_smpl(tmp_path / "smpl")
    published.import_checkpoint(
        "tokenhmr", released("tokenhmr", tmp_path), smpl / "SMPL_NEUTRAL.npz", config=small.CONFIGS["tokenhmr"]
    )

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["evaluate", *(word.replace("TMP", str(tmp_path)) for word in arguments)])
        return program.main()

    return run


def test_the_whole_command(command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An imported network of random weights, from the data set's file to the page."""
    files.write_tokenhmr_emdb(tmp_path / "data" / "emdb" / "emdb.npz", gender=["n"] * N)
    given = ("--system", "tokenhmr", "--data", "emdb", "--folder", "TMP/data", "--device", "cpu", "--batch", "4")
    assert command(*given) == 0  # the neutral body is that of the import
    told = capsys.readouterr().out
    assert f"{N} people." in told
    assert "TokenHMR (SD + ITW + BL), Table 1" in told
    row = next(line for line in told.splitlines() if line.startswith("| MPJPE"))
    assert float(row.split("|")[2]) > 1
    assert command(*given, "--limit", "2", "--output", "TMP/page.md") == 0
    assert "2 people; only the first 2." in (tmp_path / "page.md").read_text(encoding="utf-8")


@pytest.fixture
def open_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmplArrays:
    """The open body, of few vertices, in the place of SMPL's three files, and 17 joints of its mesh."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "checkpoints"))
    body = coarse_body(400)
    (tmp_path / "smpl").mkdir()
    for gender in ("NEUTRAL", "MALE", "FEMALE"):
        write_smpl(tmp_path / "smpl" / f"SMPL_{gender}.npz", body)
    np.save(tmp_path / "J.npy", body.J_regressor[:17])
    return body


@pytest.mark.parametrize("system", SYSTEMS)
def test_networks_of_random_weights(system: str, open_body: SmplArrays, tmp_path: Path) -> None:
    """All systems in their own form: pictures or clips in, rotations or meshes out, figures at the end."""
    published.save_network(system, small.network(system, open_body), open_body)
    if system == "int":
        data = f"3dpw={files.write_joblib(tmp_path / '3dpw_test_db.pt', np.ones((N, 49, 4)), ['a'] * 4 + ['b'] * 2)}"
    elif system in ("vqhps", "postometro"):
        data = f"3dpw={files.write_3dpw(tmp_path / 'raw')}"
    else:
        data = f"emdb={files.write_tokenhmr_emdb(tmp_path / 'emdb.npz')}"
    places: Any = {"smpl": str(tmp_path / "smpl"), "h36m_regressor": str(tmp_path / "J.npy"), "device": "cpu"}
    (result,) = evaluate(PublishedEvaluationConfig(system, [data], pool=6, **places))  # type: ignore[arg-type]
    assert (result.people, result.failed) == (N, 0)
    assert np.isfinite(list(result.mm.values())).all()
    assert result.mm[PVE] > 10


def test_vqhps_takes_everybody_alone_unless_asked(open_body: SmplArrays, tmp_path: Path) -> None:
    config = small.CONFIGS["vqhps"]
    pictures = torch.randn(3, 3, config.side, config.side, generator=torch.Generator().manual_seed(0))
    for over_batch in (False, True):
        network: Any = small.network("vqhps", open_body).eval()
        bodies = Bodies(tmp_path / "smpl", None, torch.device("cpu"))
        options = Options(h36m_regressor=str(tmp_path / "J.npy"), over_batch=over_batch)
        PROTOCOLS["vqhps"]("3dpw", network, config.side, bodies, options)
        with torch.inference_mode():
            together, alone = network(pictures).logits[2], network(pictures[2:]).logits[0]
        assert torch.allclose(together, alone, atol=1e-5) is not over_batch


def test_both_programs_tell_of_each_other(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in ((["--help"], "--system tokenhmr --help"), (["--system", "int", "--help"], "--pool N")):
        with pytest.raises(SystemExit) as stopped:
            command(*arguments)
        assert stopped.value.code == 0
        assert words in capsys.readouterr().out


WRONG: dict[str, tuple[list[str], str]] = {
    "no data": ([], "--data: expected data sets of tokenhmr's protocol, 3dpw, emdb; found none"),
    "other data": (["--data", "h36m=TMP"], "--data h36m: expected a data set of tokenhmr's protocol, 3dpw, emdb"),
    "twice": (["--data", "emdb=a", "emdb=b"], "expected each data set once"),
    "no folder": (["--data", "3dpw=TMP/none"], "found no such folder. Get imageFiles.zip"),
    "other format": (["--data", "3dpw=TMP/raw"], "expected an .npz of labels for tokenhmr's protocol, found walk.pkl"),
    "other file": (["--data", "3dpw=TMP/raw/sequenceFiles/test/walk.pkl"], "found a .pkl file"),
    "train": (["--data", "3dpw=TMP/train"], "expected one file of the split test"),
    "regressor": (["--data", "3dpw=TMP/good"], "--extra-regressor: expected SMPL_to_J19.pkl of 4D-Humans' data"),
    "no regressor": (["--data", "3dpw=TMP/good", "--extra-regressor", "TMP/x"], "found no file"),
    "its size": (["--data", "3dpw=TMP/good", "--extra-regressor", "TMP/small.npy"], "an array (19, V); found (17, 60)"),
    "genders": (["--data", "emdb=TMP/emdb.npz"], "--smpl: expected the folder with SMPL's male file, found none"),
    "no pose": (
        ["--data", "emdb=TMP/none.npz", "--smpl", "TMP/smpl"],
        "expected SMPL's pose and betas, which are the truth, found none",
    ),
    "no points": (
        ["--data", "3dpw=TMP/pointless_test.npz", "--smpl", "TMP/smpl", "--extra-regressor", "TMP/J19.npy"],
        "expected 3D points of the set 44, which are the truth, found none",
    ),
    "picture": (["--data", "emdb=TMP/away/emdb.npz", "--smpl", "TMP/smpl"], "expected a picture in"),
    "checkpoint": (["--data", "emdb=TMP/emdb.npz", "--checkpoint", "TMP/no.safetensors"], "mocap import-checkpoint"),
    "device": (["--data", "emdb=TMP/emdb.npz", "--device", "abacus"], "--device: expected a device"),
    "page": (["--data", "emdb=TMP/emdb.npz", "--output", "page.html"], "expected a Markdown page"),
    "smplh": (["--data", "emdb=TMP/emdb.npz", "--smplh", "TMP"], "--smplh: expected --system vqhps"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_one_clear_error(
    kind: str, command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = WRONG[kind]
    files.write_tokenhmr_emdb(tmp_path / "emdb.npz")
    files.write_tokenhmr_emdb(tmp_path / "none.npz", has_body_pose=np.zeros(N))
    save_npz(tmp_path / "away" / "emdb.npz", dict(np.load(tmp_path / "emdb.npz")))
    files.write_3dpw(tmp_path / "raw")
    vertices = torch.zeros(N, V, 3)
    path = files.write_4d_humans(tmp_path / "good" / "3dpw_test.npz", vertices, np.zeros((19, V)))
    fields = dict(np.load(path))
    save_npz(tmp_path / "train" / "3dpw_train.npz", fields)
    del fields["extra_keypoints_3d"], fields["body_keypoints_3d"]
    save_npz(tmp_path / "pointless_test.npz", fields)
    files.write_regressor(tmp_path / "small.npy", 17)
    files.write_regressor(tmp_path / "J19.npy", 19)
    assert command("--system", "tokenhmr", *arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") or "\nerror: " in told
    assert message in told


def test_the_page_of_docs_has_the_papers_figures() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `") and line.count("|") == 5 + len(METRICS)]
    expected = [(system, figure) for (system, _), some in FIGURES.items() for figure in some]
    assert len(rows) == len(expected)
    for row, (system, figure) in zip(rows, expected, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert (cells[0], cells[2], cells[3]) == (f"`{system}`", figure.title, figure.table)
        found = [None if cell == "–" else float(cell) for cell in cells[4:]]
        assert found == [figure.mm.get(name) for name in METRICS]
