from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mocap.body.skeleton import JOINT_NAMES
from mocap.takes.bvh import Unit
from tests.takes.synthetic import FPS, export, make_frame, record

# Runs alone: bpy is heavy, and at exit it may crash after all work is done, hence os._exit.
BLENDER_READER = """
import os, sys
import bpy
import numpy as np
bvh, out, scale, names = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4].split(",")
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=bvh, global_scale=scale, update_scene_fps=True)
scene, armature = bpy.context.scene, bpy.context.object
first, last = map(int, armature.animation_data.action.frame_range)
heads = []
for frame in range(first, last + 1):
    scene.frame_set(frame)
    heads.append([armature.matrix_world @ armature.pose.bones[name].head for name in names])
np.savez(out, heads=np.array(heads), fps=scene.render.fps / scene.render.fps_base)
os._exit(0)
"""


@pytest.mark.blender
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")
@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 0.01)])
def test_blender_puts_the_bones_where_the_joints_are(tmp_path: Path, unit: Unit, scale: float) -> None:
    take = record(tmp_path / "a.take", [make_frame(i, (2,) if i >= 30 else ()) for i in range(75)])
    export(take, ["npz", "bvh"], bvh_unit=unit)
    arguments = [tmp_path / "a_person2.bvh", tmp_path / "heads.npz", str(scale), ",".join(JOINT_NAMES)]
    child = subprocess.run([sys.executable, "-c", BLENDER_READER, *arguments], capture_output=True, text=True)
    assert (tmp_path / "heads.npz").exists(), child.stdout + child.stderr
    blender, ours = np.load(tmp_path / "heads.npz"), np.load(tmp_path / "a_person2.npz")["joints"]
    x, y, z = np.moveaxis(ours, -1, 0)
    expected = np.stack([x, -z, y], -1)  # Blender: +Z up, a figure faces -Y
    assert blender["heads"].shape == expected.shape
    assert blender["fps"] == pytest.approx(FPS)
    error_m = np.linalg.norm(blender["heads"] - expected, axis=-1).max()
    print(f"Blender's bones are off by at most {1000 * error_m:.4f} mm")
    assert error_m < 1e-3
