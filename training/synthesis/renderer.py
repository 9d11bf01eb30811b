"""Posed bodies before pictures, fast: OpenGL off screen (on Linux through EGL), also without a GPU (llvmpipe).

Skinning is done by the graphics library. Everything arrives in camera axes (x right, y down, z forward), metres.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from mocap.errors import MocapError

Image = NDArray[np.uint8]
Float = NDArray[np.floating[Any]]
# Elsewhere than on Linux moderngl's own choice is off screen already.
_BACKEND: dict[str, Any] = {"backend": "egl"} if sys.platform == "linux" else {}
_NEAR_M, _FAR_M = 0.05, 60.0

_VERTEX = """
#version 330
uniform mat4 motion[24];
uniform mat4 projection;
in vec3 rest; in vec3 rest_normal; in vec3 color; in vec4 weight; in vec4 bone;
out vec3 normal; out vec3 tint; out vec3 place;
void main() {
    mat4 blend = weight.x * motion[int(bone.x)] + weight.y * motion[int(bone.y)]
               + weight.z * motion[int(bone.z)] + weight.w * motion[int(bone.w)];
    vec4 p = blend * vec4(rest, 1.0);
    normal = mat3(blend) * rest_normal;
    tint = color;
    place = p.xyz;
    gl_Position = projection * p;
}
"""
_FRAGMENT = """
#version 330
uniform vec3 direction[3];
uniform vec3 light[3];
uniform vec3 ambient;
uniform float gloss;
in vec3 normal; in vec3 tint; in vec3 place;
out vec4 pixel;
void main() {
    vec3 n = normalize(normal);
    vec3 eye = normalize(-place);
    vec3 sum = ambient * (0.75 - 0.25 * n.y);
    float shine = 0.0;
    for (int i = 0; i < 3; i++) {
        sum += light[i] * max(0.0, dot(n, direction[i]));
        shine += length(light[i]) * pow(max(0.0, dot(n, normalize(direction[i] + eye))), 24.0);
    }
    pixel = vec4(tint * sum + gloss * shine, 1.0);
}
"""
_BACK_VERTEX = """
#version 330
in vec2 corner; out vec2 uv;
void main() { uv = vec2(0.5 + 0.5 * corner.x, 0.5 - 0.5 * corner.y); gl_Position = vec4(corner, 0.9999, 1.0); }
"""
_BACK_FRAGMENT = """
#version 330
uniform sampler2D picture; in vec2 uv; out vec4 pixel;
void main() { pixel = vec4(texture(picture, uv).rgb, 1.0); }
"""


@dataclass(frozen=True)
class Mesh:
    """What is drawn.

    Attributes:
        rest: (N, 3) m.
        normals: (N, 3) unit length, at rest.
        colors: (N, 3) in [0, 1].
        weights, bones: (N, 4) the strongest skinning weights, sum 1, and whose they are.
        faces: (F, 3).
        motion: (24, 4, 4) camera axes from rest, of each bone.
    """

    rest: Float
    normals: Float
    colors: Float
    weights: Float
    bones: Float
    faces: NDArray[np.int32]
    motion: Float


@dataclass(frozen=True)
class Lighting:
    """Three distant lamps and light from everywhere."""

    directions: Float  # (3, 3) towards the lamps, camera axes, unit length
    colors: Float  # (3, 3)
    ambient: Float  # (3,)
    gloss: float = 0.03


class Renderer:
    """Pictures of one size; of other sizes by other renderers. One thread at a time.

    Raises:
        MocapError: OpenGL 3.3 cannot be had off screen here.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        try:
            self._gl = moderngl.create_context(standalone=True, require=330, **_BACKEND)
        except Exception as error:  # moderngl raises bare Exceptions
            raise MocapError(
                f"Renderer: expected OpenGL 3.3 off screen, found none ({error}); on Debian: "
                "apt install libegl1 libgl1-mesa-dri"
            ) from error
        self._gl.enable(moderngl.DEPTH_TEST)
        size = (width, height)
        # Without multisampling: on llvmpipe it doubles the time, and the landmark network sees smaller crops anyway.
        self._drawn = self._gl.framebuffer(self._gl.renderbuffer(size, 3), self._gl.depth_renderbuffer(size))
        self._body = self._gl.program(_VERTEX, _FRAGMENT)
        self._back = self._gl.program(_BACK_VERTEX, _BACK_FRAGMENT)
        corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32)
        self._corners = self._gl.vertex_array(self._back, self._gl.buffer(corners.tobytes()), "corner")

    def __call__(self, background: Image, meshes: list[Mesh], focal_px: float, lighting: Lighting) -> Image:
        """Meshes before a background (h, w, 3) that is stretched to the picture -> (H, W, 3)."""
        with self._gl:  # one of several contexts, perhaps
            self._drawn.use()
            self._gl.clear()
            self._draw_background(background)
            _write(self._body, "projection", self._projection(focal_px).T)
            for name, value in (
                ("direction", lighting.directions), ("light", lighting.colors), ("ambient", lighting.ambient),
                ("gloss", np.float32(lighting.gloss)),
            ):  # fmt: skip
                _write(self._body, name, value)
            for mesh in meshes:
                self._draw(mesh)
            picture = np.frombuffer(self._drawn.read(components=3, alignment=1), np.uint8)
        return picture.reshape(self.height, self.width, 3)[::-1].copy()

    def _draw_background(self, background: Image) -> None:
        texture = self._gl.texture(
            (background.shape[1], background.shape[0]), 3, np.ascontiguousarray(background).tobytes(), alignment=1
        )
        texture.repeat_x = texture.repeat_y = False
        texture.use()
        self._corners.render(moderngl.TRIANGLE_STRIP)
        texture.release()

    def _draw(self, mesh: Mesh) -> None:
        _write(self._body, "motion", mesh.motion.swapaxes(-1, -2))
        columns = (mesh.rest, mesh.normals, mesh.colors, mesh.weights, mesh.bones)
        vertices = self._gl.buffer(np.concatenate(columns, 1, dtype=np.float32).tobytes())
        faces = self._gl.buffer(np.ascontiguousarray(mesh.faces, np.int32).tobytes())
        layout = "3f 3f 3f 4f 4f", "rest", "rest_normal", "color", "weight", "bone"
        array = self._gl.vertex_array(self._body, [(vertices, *layout)], faces)
        array.render()
        for thing in (array, vertices, faces):
            thing.release()

    def _projection(self, focal_px: float) -> Float:
        """Clip space from camera axes (4, 4)."""
        depth = _FAR_M - _NEAR_M
        return np.array(
            [
                [2 * focal_px / self.width, 0, 0, 0],
                [0, -2 * focal_px / self.height, 0, 0],
                [0, 0, (_FAR_M + _NEAR_M) / depth, -2 * _FAR_M * _NEAR_M / depth],
                [0, 0, 1, 0],
            ],
            np.float32,
        )


def skinned(weights: Float) -> tuple[Float, Float]:
    """Skinning weights (N, 24) -> the four strongest (N, 4), sum 1, and their bones (N, 4)."""
    bones = np.argsort(-weights, 1)[:, :4]
    strongest = np.take_along_axis(weights, bones, 1)
    return (strongest / strongest.sum(1, keepdims=True)).astype(np.float32), bones.astype(np.float32)


def _write(program: moderngl.Program, name: str, value: Float | np.float32) -> None:
    member = program[name]
    assert isinstance(member, moderngl.Uniform)
    member.write(np.ascontiguousarray(value, np.float32).tobytes())
