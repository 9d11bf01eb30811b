from __future__ import annotations

import numpy as np
import pytest

from mocap.errors import MocapError
from training.synthesis import renderer
from training.synthesis.renderer import Image, Lighting, Mesh, Renderer, skinned

WIDTH, HEIGHT, FOCAL = 160, 120, 100.0
FLAT = Lighting(
    np.eye(3), np.zeros((3, 3)), np.full(3, 4 / 3), gloss=0.0
)  # colours as they are on a face to the camera
BACK = np.full((4, 4, 3), 40, np.uint8)
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def render() -> Renderer:
    try:
        return Renderer(WIDTH, HEIGHT)
    except MocapError as error:
        pytest.skip(str(error))


def square(x: float, y: float, z: float, color: tuple[float, float, float], half: float = 0.1) -> Mesh:
    """A square that faces the camera, its middle at (x, y, z) m in camera axes; half its vertices hang on bone 1."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half
    motion = np.tile(np.eye(4), (24, 1, 1))
    motion[:2, :3, 3] = x, y, z
    weights = np.zeros((4, 24))
    weights[:2, 0] = weights[2:, 1] = 1
    return Mesh(
        corners, np.tile([0, 0, -1.0], (4, 1)), np.tile(color, (4, 1)), *skinned(weights),
        np.array([[0, 1, 2], [0, 2, 3]]), motion,
    )  # fmt: skip


def box(picture: Image, channel: int) -> list[float]:
    """Left, top, right, bottom of where a channel is bright, px."""
    rows, columns = np.nonzero(picture[..., channel] > 200)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_points_land_where_a_pinhole_camera_puts_them(render: Renderer) -> None:
    picture = render(BACK, [square(0.3, -0.2, 1.0, RED)], FOCAL, FLAT)
    assert box(picture, 0) == pytest.approx([80 + 20, 60 - 30, 80 + 40, 60 - 10], abs=1)  # x right, y down
    assert (picture[:20] == 40).all()


def test_the_nearer_one_hides_the_other(render: Renderer) -> None:
    near, far = square(0, 0, 1.0, RED), square(0, 0, 2.0, GREEN, half=0.4)
    for meshes in ([near, far], [far, near]):
        picture = render(BACK, meshes, FOCAL, FLAT)
        assert picture[60, 80].tolist() == [255, 0, 0]
        assert picture[60, 95].tolist() == [0, 255, 0]


def test_the_background_fills_the_picture_upright(render: Renderer) -> None:
    back = np.zeros((2, 2, 3), np.uint8)
    back[0, 1] = 255  # right above
    picture = render(back, [], FOCAL, FLAT)
    assert picture[5, -5].min() > 200
    assert picture[5, 5].max() < 50
    assert picture[-5, -5].max() < 50


def test_bones_bend_a_mesh(render: Renderer) -> None:
    mesh = square(0, 0, 1.0, RED)
    mesh.motion[1, 1, 3] = 0.2  # the lower edge moves down
    assert box(render(BACK, [mesh], FOCAL, FLAT), 0) == pytest.approx([70, 50, 90, 90], abs=1)


def test_light_comes_from_where_it_is_said(render: Renderer) -> None:
    lamp = Lighting(np.array([[0, 0, -1.0], [1, 0, 0], [1, 0, 0]]), np.diag([1.0, 0, 0]), np.zeros(3), gloss=0.0)
    white = square(0, 0, 1.0, (1.0, 1.0, 1.0))
    assert render(BACK, [white], FOCAL, lamp)[60, 80].tolist() == [255, 0, 0]
    behind = Lighting(-lamp.directions, lamp.colors, lamp.ambient, gloss=0.0)
    assert render(BACK, [white], FOCAL, behind)[60, 80].tolist() == [0, 0, 0]


def test_two_renderers_take_turns(render: Renderer) -> None:
    other = Renderer(64, 48)
    before = render(BACK, [square(0, 0, 1.0, RED)], FOCAL, FLAT)
    assert other(BACK, [square(0, 0, 1.0, GREEN)], 40.0, FLAT).shape == (48, 64, 3)
    assert np.array_equal(render(BACK, [square(0, 0, 1.0, RED)], FOCAL, FLAT), before)


def test_the_four_strongest_bones_are_kept() -> None:
    weights = np.zeros((1, 24))
    weights[0, [3, 5, 7, 9, 11]] = [0.4, 0.1, 0.3, 0.15, 0.05]
    strongest, bones = skinned(weights)
    assert bones.tolist() == [[3, 7, 9, 5]]
    assert strongest[0] == pytest.approx(np.array([0.4, 0.3, 0.15, 0.1]) / 0.95)


def test_no_opengl_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise RuntimeError("cannot open display")

    monkeypatch.setattr(renderer.moderngl, "create_context", none)
    with pytest.raises(MocapError, match=r"expected OpenGL 3.3 off screen, found none \(cannot open display\)"):
        Renderer(8, 8)
