"""Which data sets the readers know, how their folders look, and where to get what is missing.

Nothing here downloads: each data set has a licence that one agrees to oneself, on its page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mocap.errors import MocapError


@dataclass(frozen=True)
class DataSet:
    title: str
    get: str  # what to get, and where from when it is not the page
    layout: tuple[str, ...]  # patterns below the data set's folder; a file of any one of them is enough
    page: str  # the page of its licence
    true_3d: bool  # pose and 3D points are measured or rendered; False: fitted by another system, or there are none


_TARS = "the tar shards that 4D-Humans publishes (https://github.com/shubham-goel/4D-Humans, training data)"
_LABELS = "SPIN's or CLIFF's .npz labels (BEDLAM's download page has CLIFF's)"

DATASETS: dict[str, DataSet] = {
    "3dpw": DataSet(
        "3DPW", "imageFiles.zip and sequenceFiles.zip, or an .npz of 4D-Humans, SPIN or VQ-HPS and imageFiles.zip",
        ("sequenceFiles/*/*.pkl", "*3[dD][pP][wW]*.npz", "*.yaml", "3dpw_*_db.pt"),
        "https://virtualhumans.mpi-inf.mpg.de/3DPW/license.html", True,
    ),
    "3dpw_occ": DataSet(
        "3DPW-OCC", "3DPW, and an .npz with its occluded sequences in SPIN's fields", ("*.npz",),
        "https://virtualhumans.mpi-inf.mpg.de/3DPW/license.html", True,
    ),
    "emdb": DataSet(
        "EMDB", "the folders P0 to P9, or an .npz of TokenHMR or VQ-HPS and the folders' pictures",
        ("P*/*/*_data.pkl", "*.npz"), "https://emdb.ait.ethz.ch", True,
    ),
    "h36m": DataSet(
        "Human3.6M", f"the pictures, and {_LABELS}, METRO's TSV, INT's h36m_train_db.pt, or {_TARS}",
        ("*h36m*.npz", "*.yaml", "h36m_*_db.pt", "*.tar"), "http://vision.imar.ro/human3.6m/eula.php", True,
    ),
    # TokenHMR counts it as pseudo-labels: its 3D points are measured, but the SMPL poses are fitted to them.
    "mpi_inf_3dhp": DataSet(
        "MPI-INF-3DHP", f"the folders S1 to S8 and mpi_inf_3dhp_test_set, or {_LABELS}, or {_TARS}",
        ("S*/Seq*/annot.mat", "mpi_inf_3dhp_test_set/TS*/annot_data.mat", "*mpi*inf*.npz", "mpii3d_*_db.pt", "*.tar"),
        "https://vcai.mpi-inf.mpg.de/3dhp-dataset/", False,
    ),
    "coco": DataSet(
        "COCO 2014", f"train2014 and annotations/person_keypoints_train2014.json, or {_LABELS}, or {_TARS}",
        ("annotations/person_keypoints_*.json", "*coco*.npz", "*.yaml", "coco*_db.pt", "*.tar"),
        "https://cocodataset.org/#termsofuse", False,
    ),
    "mpii": DataSet(
        "MPII", f"images and annot/train.json (as HRNet and SimpleBaselines have it), or {_LABELS}, or {_TARS}",
        ("annot/*.json", "*mpii*.npz", "*.yaml", "mpii_*_db.pt", "*.tar"), "http://human-pose.mpi-inf.mpg.de/", False,
    ),
    "bedlam": DataSet(
        "BEDLAM", "the 6 fps pictures and all_npz_12_training with an .npz a scene, or TokenHMR's tar shards",
        ("*.npz", "all_npz_12_training/*.npz", "*.tar", "*/*.tar"), "https://bedlam.is.tue.mpg.de/license.html", True,
    ),
    "agora": DataSet(
        "AGORA", "the pictures, and agora-bfh.npz and agora-body.npz from BEDLAM's download page",
        ("agora*.npz", "all_npz_12_training/agora*.npz"), "https://agora.is.tue.mpg.de/license.html", True,
    ),
    "insta": DataSet(
        "InstaVariety", f"{_TARS}: insta-train-vitpose-replicate", ("*.tar",),
        "https://github.com/akanazawa/human_dynamics/blob/master/doc/insta_variety.md", False,
    ),
    "ava": DataSet(
        "AVA", f"{_TARS}: ava-train-midframes-1fps-vitpose", ("*.tar",), "https://research.google.com/ava/", False,
    ),
    "aic": DataSet(
        "AI Challenger", f"{_TARS}: aic-train-vitpose", ("*.tar",),
        "https://github.com/AIChallenger/AI_Challenger_2017", False,
    ),
    "3doh": DataSet(
        "3DOH50K", "the pictures, and 3doh_train.npz and 3doh_test.npz in SPIN's fields", ("3doh*.npz",),
        "https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html", True,
    ),
    "up3d": DataSet(
        "UP-3D", "METRO's or FastMETRO's TSV", ("*.yaml",), "https://files.is.tuebingen.mpg.de/classner/up/", False,
    ),
    "muco": DataSet(
        "MuCo-3DHP", "METRO's or FastMETRO's TSV", ("*.yaml",),
        "https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson/", False,
    ),
    "penn_action": DataSet(
        "Penn Action", "the frames, and INT's pennaction_train_db.pt", ("pennaction_*_db.pt",),
        "http://dreamdragon.github.io/PennAction/", False,
    ),
    "posetrack": DataSet(
        "PoseTrack", "the pictures, and INT's posetrack_train_db.pt", ("posetrack_*_db.pt",), "https://posetrack.net/",
        False,
    ),
    "lspet": DataSet(
        "LSP extended", f"the pictures, and INT's lspet_train_db.pt or {_LABELS}", ("lspet_*_db.pt", "*lspet*.npz"),
        "http://sam.johnson.io/research/lspet.html", False,
    ),
    "amass": DataSet(
        "AMASS", "the SMPL-H G or SMPL-X G archives of its parts", ("*/*/*.npz",),
        "https://amass.is.tue.mpg.de/license.html", True,
    ),
    "moyo": DataSet(
        "MOYO", "the SMPL-X poses", ("*/*.npz", "*.npz"), "https://moyo.is.tue.mpg.de/license.html", True,
    ),
}  # fmt: skip


def data_set(name: str) -> DataSet:
    """Raises MocapError for a name that is none of DATASETS."""
    if name not in DATASETS:
        raise MocapError(f"expected a data set of {', '.join(DATASETS)}; found {name!r}")
    return DATASETS[name]


def find(name: str, folder: Path) -> list[Path]:
    """The files of a data set in its folder, in order.

    Raises:
        MocapError: the folder has none; it says what to get and where it goes.
    """
    files = sorted({path for pattern in data_set(name).layout for path in Path(folder).glob(pattern)})
    return files or missing(name, folder)


def missing(name: str, folder: Path) -> NoReturn:
    """Raises MocapError: what was expected and found, what to get, where it goes, and where its licence is."""
    known, folder = data_set(name), Path(folder)
    patterns = " or ".join(known.layout)
    raise MocapError(
        f"{folder}: expected {known.title} ({patterns}), found {_listed(folder)}. Get {known.get}. "
        f"Put it into {folder}. Its licence: {known.page}"
    )


def _listed(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder" if not folder.exists() else "a file"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "an empty folder"
