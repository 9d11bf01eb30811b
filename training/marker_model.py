"""Optical markers on the body: where they sit on its skin, which joints carry them, and where a pose brings them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from mocap.body.model import load_body
from mocap.body.skeleton import JOINT, PARENTS, load_skeleton
from mocap.errors import MocapError
from training.datasets.motion import NUM_BODY_JOINTS, SWAP_SIDES

Float = NDArray[np.float64]
Tensor = torch.Tensor

MARKER_SETS = Path(__file__).parent / "datasets" / "markersets"
PARENT = torch.tensor(PARENTS[:NUM_BODY_JOINTS])
_SWAP_24 = np.concatenate([SWAP_SIDES, [23, 22]])
_REACH = 0.3  # m, no skin is farther from the joint that a ray starts at
_FIELDS = {"moves_with", "from", "offset", "ray", "spread", "sigma"}


def _ancestors() -> Tensor:
    """(22, 22): row j is 1 at the joints on the way from the pelvis to j, j included."""
    chain = torch.eye(NUM_BODY_JOINTS, dtype=torch.float64)
    for joint in range(1, NUM_BODY_JOINTS):
        chain[joint] += chain[PARENTS[joint]]
    return chain


CHAIN = _ancestors()


@dataclass(frozen=True)
class MarkerSet:
    """A laboratory's markers. The format is described at the top of ``markersets/vicon41.yaml``."""

    name: str
    radius: float  # m, of a marker: its centre's height above the skin
    labels: tuple[str, ...]
    moves_with: Float  # (M, 22) weights of the joints that carry each marker, rows sum to 1
    start: Float  # (M, 24) weights of the joints from which the ray to the skin starts
    offset: Float  # (M, 3) m added to it
    ray: Float  # (M, 3)
    spread: Float  # (M,) m along the skin
    sigma: Float  # (M,) m


def load_marker_set(path: Path) -> MarkerSet:
    """Read a YAML marker set; a label that begins with L stands for its mirror image too, unless that is there.

    Raises:
        MocapError: no such file, or not a marker set.
    """
    if not path.is_file():
        raise MocapError(f"expected a marker set in YAML, found no file {path}")
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise MocapError(f"{path}: expected YAML, found: {error}") from error
    if not isinstance(raw, dict) or not {"name", "radius", "markers"} <= set(raw):
        raise MocapError(f"{path}: expected name, radius and markers, as in {MARKER_SETS / 'vicon41.yaml'}")
    entries = {label: _Entry.parse(label, fields, path) for label, fields in raw["markers"].items()}
    for label in [label for label in entries if label.startswith("L")]:
        entries.setdefault("R" + label[1:], entries[label].mirrored())
    columns = zip(*(vars(entry).values() for entry in entries.values()), strict=True)
    return MarkerSet(raw["name"], float(raw["radius"]), tuple(entries), *(np.array(column) for column in columns))


@dataclass(frozen=True)
class _Entry:
    """One marker, with the fields of :class:`MarkerSet` in its order."""

    moves_with: Float
    start: Float
    offset: Float
    ray: Float
    spread: float
    sigma: float

    @staticmethod
    def parse(label: str, fields: dict, path: Path) -> _Entry:
        unknown = set(fields) - _FIELDS
        if unknown or not {"moves_with", "from", "ray"} <= set(fields):
            raise MocapError(f"{path}: {label}: expected moves_with, from, ray and perhaps offset, spread, sigma; found"
                             f" {', '.join(sorted(fields))}")  # fmt: skip
        moves = fields["moves_with"]
        moves = _joint_weights({moves: 1.0} if isinstance(moves, str) else moves, label, path)
        ray, offset = np.array(fields["ray"], float), np.array(fields.get("offset", (0, 0, 0)), float)
        if ray.shape != (3,) or offset.shape != (3,) or not ray.any():
            raise MocapError(f"{path}: {label}: expected ray and offset of three numbers, found {ray} and {offset}")
        return _Entry(
            moves[:NUM_BODY_JOINTS] / moves.sum(), _joint_weights(fields["from"], label, path),
            offset, ray / np.linalg.norm(ray),
            float(fields.get("spread", 0.03)), float(fields.get("sigma", 0.01)),
        )  # fmt: skip

    def mirrored(self) -> _Entry:
        flip = np.array([-1.0, 1.0, 1.0])
        return _Entry(self.moves_with[SWAP_SIDES], self.start[_SWAP_24], self.offset * flip, self.ray * flip,
                      self.spread, self.sigma)  # fmt: skip


def _joint_weights(weights: dict[str, float], label: str, path: Path) -> Float:
    row = np.zeros(len(JOINT))
    for name, weight in weights.items():
        if name not in JOINT:
            raise MocapError(f"{path}: {label}: expected SMPL's joint names, found {name!r}")
        row[JOINT[name]] = weight
    return row


@dataclass(frozen=True)
class Skin:
    """The open body's skin in the rest pose, linear in betas."""

    vertices: Float  # (V, 3) m at betas 0
    directions: Float  # (V, 3, 10) m
    faces: NDArray[np.int64]  # (F, 3)

    def shaped(self, betas: Float) -> Float:
        return self.vertices + self.directions @ betas

    def normals(self, betas: Float) -> Float:
        """Outward unit normals (V, 3)."""
        corners = self.shaped(betas)[self.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(normals, self.faces[:, corner], across)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def hit(self, starts: Float, rays: Float, labels: tuple[str, ...]) -> NDArray[np.int64]:
        """The vertices (M,) nearest to where rays (M, 3) from starts (M, 3) leave the mean body for good."""
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        found = np.empty(len(starts), np.int64)
        for index, (start, ray) in enumerate(zip(starts, rays, strict=True)):
            # Möller and Trumbore: start + t ray = a + u (b - a) + v (c - a).
            p, s = np.cross(ray, c - a), start - a
            det = np.einsum("fi,fi->f", b - a, p)
            det = np.where(np.abs(det) < 1e-14, 1e-14, det)
            q = np.cross(s, b - a)
            u, v, t = np.einsum("fi,fi->f", s, p) / det, q @ ray / det, np.einsum("fi,fi->f", c - a, q) / det
            hits = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < _REACH)
            if not hits.any():
                raise MocapError(f"{labels[index]}: its ray does not meet the skin; mend the marker set")
            point = start + t[hits].max() * ray
            found[index] = np.argmin(np.linalg.norm(self.vertices - point, axis=1))
        return found


def open_body_skin() -> Skin:
    """The open body's skin; its rest pose is evaluated at betas 0 and at each unit vector."""
    body, skeleton = load_body(), load_skeleton()
    betas = torch.cat([torch.zeros(1, 10), torch.eye(10)])
    pelvis = torch.from_numpy(skeleton.rest_joints(betas.numpy())[:, 0].copy())
    R = torch.eye(3).expand(11, len(JOINT), 3, 3)
    with torch.no_grad():
        vertices = body.vertices(R, pelvis, betas).double().numpy()
    faces = np.asarray(body.faces, np.int64)
    return Skin(vertices[0], np.moveaxis(vertices[1:] - vertices[0], 0, -1), faces)


@dataclass(frozen=True)
class MarkerModel:
    """A marker set on the open body, for any shape: all places are linear in betas."""

    markers: MarkerSet
    skin: Skin
    place: NDArray[np.int64]  # (M,) the vertex that each marker's protocol names
    joints: Tensor  # (22, 3) m, rest joints at betas 0
    joint_directions: Tensor  # (22, 3, 10) m

    @staticmethod
    def create(markers: MarkerSet, skin: Skin | None = None) -> MarkerModel:
        skin, skeleton = skin or open_body_skin(), load_skeleton()
        starts = markers.start @ skeleton.mean.astype(np.float64) + markers.offset
        place = skin.hit(starts, markers.ray, markers.labels)
        joints = torch.from_numpy(skeleton.mean[:NUM_BODY_JOINTS]).double()
        directions = torch.from_numpy(skeleton.directions[:NUM_BODY_JOINTS]).double()
        return MarkerModel(markers, skin, place, joints, directions)

    def protocol_offset(self) -> Float:
        """Offsets (M, 3) m of markers that sit exactly where the protocol has them."""
        return self.markers.radius * self.skin.normals(np.zeros(10))[self.place]

    def rig(self, betas: Float, offset: Float) -> Rig:
        """The body of one person with markers at ``offset`` (M, 3) m from their protocol vertices."""
        joints = self.joints + self.joint_directions @ torch.from_numpy(betas)
        places = torch.from_numpy(self.skin.shaped(betas)[self.place] + offset)
        return Rig.create(joints, places, torch.from_numpy(self.markers.moves_with))


@dataclass(frozen=True)
class Rig:
    """One person's skeleton with markers. A marker that several joints carry is a weighted mean of rigid copies."""

    bones: Tensor  # (22, 3) m, each joint from its parent in the rest pose
    link: Tensor  # (C, 3) m, each copy from its joint
    link_joint: Tensor  # (C,)
    mean: Tensor  # (M, C) weights that make markers of copies
    lever: Tensor  # (M * 22, C) ``mean`` where the column's joint carries the copy, else 0

    @staticmethod
    def create(joints: Tensor, places: Tensor, moves_with: Tensor) -> Rig:
        marker, joint = torch.nonzero(moves_with, as_tuple=True)
        mean = torch.zeros(len(places), len(marker), dtype=torch.float64)
        mean[marker, torch.arange(len(marker))] = moves_with[marker, joint]
        bones = joints.clone()
        bones[1:] -= joints[PARENT[1:]]
        lever = (mean[:, None] * CHAIN[joint].T).reshape(-1, len(marker))
        return Rig(bones, places[marker] - joints[joint], joint, mean, lever)

    def forward(self, R: Tensor, root: Tensor) -> Posed:
        """Local rotations (T, 22, 3, 3) and pelvis (T, 3) m -> everything posed."""
        G, joints = [R[:, 0]], [root]
        for joint in range(1, NUM_BODY_JOINTS):
            parent = PARENTS[joint]
            G.append(G[parent] @ R[:, joint])
            joints.append(joints[parent] + G[parent] @ self.bones[joint])
        G_all, p_all = torch.stack(G, 1), torch.stack(joints, 1)
        copies = (G_all[:, self.link_joint] @ self.link[..., None])[..., 0] + p_all[:, self.link_joint]
        return Posed(G_all, p_all, copies, self.mean @ copies)

    def jacobian(self, posed: Posed) -> Tensor:
        """Markers by right increments of the 22 rotations and by the root: (T, 3 M, 69).

        An increment w of joint a moves a point that a carries by (G_a w) x (point - a).
        """
        count, num_markers = len(posed.G), len(self.mean)
        arm = (self.lever @ posed.copies).reshape(count, num_markers, NUM_BODY_JOINTS, 3)
        arm -= self.lever.sum(1).reshape(num_markers, NUM_BODY_JOINTS, 1) * posed.joints[:, None]
        axes = posed.G.permute(0, 2, 1, 3)  # (T, 3 coordinates, 22, 3 axes)
        rows = torch.zeros(count, num_markers, 3, 3 * NUM_BODY_JOINTS + 3, dtype=torch.float64)
        turns = rows[..., :-3].unflatten(-1, (NUM_BODY_JOINTS, 3))
        for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
            turns[:, :, i] = axes[:, None, j] * arm[..., k, None] - axes[:, None, k] * arm[..., j, None]
        rows[..., -3:] = torch.eye(3, dtype=torch.float64)
        return rows.flatten(1, 2)

    def shape_jacobian(self, posed: Posed, model: MarkerModel) -> Tensor:
        """Markers by betas and by the offsets of the markers: (T, 3 M, 10 + 3 M)."""
        count, num_markers = len(posed.G), len(self.mean)
        bones = model.joint_directions.clone()
        bones[1:] -= model.joint_directions[PARENT[1:]]
        joints = [torch.zeros(count, 3, 10, dtype=torch.float64)]
        for joint in range(1, NUM_BODY_JOINTS):
            joints.append(joints[PARENTS[joint]] + posed.G[:, PARENTS[joint]] @ bones[joint])
        places = torch.from_numpy(model.skin.directions[model.place])
        marker = self.mean.argmax(0)  # of each copy
        link = places[marker] - model.joint_directions[self.link_joint]
        R_copies = posed.G[:, self.link_joint]
        by_betas = R_copies @ link + torch.stack(joints, 1)[:, self.link_joint]
        rows = torch.zeros(count, num_markers, 3, 10 + 3 * num_markers, dtype=torch.float64)
        rows[..., :10] = torch.einsum("mc,tcij->tmij", self.mean, by_betas)
        own = torch.einsum("mc,tcij->tmij", self.mean, R_copies)
        blocks = rows[..., 10:].unflatten(-1, (num_markers, 3))
        for index in range(num_markers):
            blocks[:, index, :, index] = own[:, index]
        return rows.flatten(1, 2)


@dataclass(frozen=True)
class Posed:
    """Posed bodies."""

    G: Tensor  # (T, 22, 3, 3) world from joint
    joints: Tensor  # (T, 22, 3) m
    copies: Tensor  # (T, C, 3) m
    markers: Tensor  # (T, M, 3) m
