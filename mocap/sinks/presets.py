"""How VMC receivers differ, as data. Every entry says what taught it; where nothing is known, the default stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mocap.config import VmcPreset


@dataclass(frozen=True)
class Preset:
    """How packets are arranged for one receiver."""

    bundle: bool  # messages in OSC bundles; false sends each as a datagram of its own
    # Which message carries the way over the floor. "root": Root/Pos has x and z, Hips has the height.
    # "hips": Root/Pos stays at the origin and Hips has all three.
    travel: Literal["root", "hips"]


# No entry turns the avatar. Facing differs between VRM 0 (-Z) and VRM 1 (+Z) in the *file*, in glTF's right-handed
# axes. Unity's importers undo that, by mirroring Z for VRM 0 and X for VRM 1, so that both face +Z with their left at
# -X before any message is applied; and VSeeFace, Warudo and VNyan are Unity programs.
PRESETS: dict[VmcPreset, Preset] = {
    # The protocol calls Root/Pos the pose of the model's root object. EVMC4U, the common receiver in Unity, sets the
    # model's transform from it and bone positions within it, both by default.
    "default": Preset(bundle=True, travel="root"),
    # VSeeFace's author asks for one bundle per frame: single messages "may cause performance issues"
    # (emilianavt/VSeeFaceReleases, issue 43). Hips, because XR Animator sends VSeeFace's root position in other axes
    # than Warudo's, while SlimeVR leaves the root at the origin and moves the hips, whose axes are always the avatar's.
    "vseeface": Preset(bundle=True, travel="hips"),
    # XR Animator moves the root for Warudo, in exactly the axes that we send (forward is +Z, left is -X).
    "warudo": Preset(bundle=True, travel="root"),
    # XR Animator has two modes for VNyan, with root axes turned by half a turn from each other: so hips, as above.
    "vnyan": Preset(bundle=True, travel="hips"),
}
