"""Which points the formats have, in their order: a set's name -> the names of its points."""

from __future__ import annotations

from mocap.body.skeleton import JOINT_NAMES

_OPENPOSE25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "middle_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
_LSP14 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
)  # fmt: skip
_EXTRA19 = (
    *(f"lsp {name}" for name in _LSP14), "mpii pelvis", "mpii thorax", "human36m spine", "human36m jaw",
    "human36m head",
)  # fmt: skip
_SPIN24 = (*_EXTRA19, "coco nose", "coco left_eye", "coco right_eye", "coco left_ear", "coco right_ear")
_IN_OPENPOSE = tuple(f"openpose {name}" for name in _OPENPOSE25)

JOINT_SETS: dict[str, tuple[str, ...]] = {
    "44": (*_IN_OPENPOSE, *_EXTRA19),  # 4D-Humans, TokenHMR: the pelvis is point 39
    "spin49": (*_IN_OPENPOSE, *_SPIN24),  # SPIN, INT
    "spin24": _SPIN24,  # SPIN's ground truth, METRO's TSV
    "open24": (*_SPIN24[:18], "head", *_SPIN24[19:]),  # the same with SMPL's joint for a head, which the open body has
    "h36m17": (  # of SPIN's J_regressor_h36m.npy; Human3.6M itself has the right leg first
        "mpii pelvis", "lsp left_hip", "lsp left_knee", "lsp left_ankle", "lsp right_hip", "lsp right_knee",
        "lsp right_ankle", "human36m spine", "lsp neck", "human36m jaw", "human36m head", "lsp left_shoulder",
        "lsp left_elbow", "lsp left_wrist", "lsp right_shoulder", "lsp right_elbow", "lsp right_wrist",
    ),
    "smpl24": tuple(JOINT_NAMES),
    "smplx22": tuple(JOINT_NAMES[:22]),  # SMPL-X's first are SMPL's without the hands
    "openpose18": (*_OPENPOSE25[:8], *_OPENPOSE25[9:19]),  # OpenPose's COCO model: no middle hip, no feet
    "coco17": (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    "mpii16": (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist",
    ),
    "mpi_inf28": (
        "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top", "left_clavicle", "left_shoulder",
        "left_elbow", "left_wrist", "left_hand", "right_clavicle", "right_shoulder", "right_elbow", "right_wrist",
        "right_hand", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe", "right_hip", "right_knee",
        "right_ankle", "right_foot", "right_toe",
    ),
    "mpi_inf17": (
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
        "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis",
        "spine", "head",
    ),
}  # fmt: skip
