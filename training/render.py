"""A small room, lit and seen by a pinhole camera: VTK off screen, on the CPU where there is no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

from mocap.types import Camera
from training.anny_body import Float

Image = NDArray[np.uint8]
Vector = Sequence[float] | Float
# Without a display VTK warns that X is missing before it falls back to EGL or OSMesa.
vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)

# Position (m), strength, colour.
LAMPS = (
    ((-2.0, 3.4, 3.6), 0.62, (1.0, 0.96, 0.9)),
    ((2.6, 2.6, 3.2), 0.36, (0.9, 0.95, 1.0)),
    ((0.3, 2.9, -0.6), 0.22, (1.0, 1.0, 1.0)),
)


@dataclass
class Surface:
    """A mesh in the scene whose vertices may move."""

    polydata: vtk.vtkPolyData

    def move(self, vertices: Float) -> None:
        """Sets the vertices (N, 3) m in the world."""
        points = vtk_to_numpy(self.polydata.GetPoints().GetData())
        points[:] = vertices
        self.polydata.GetPoints().Modified()
        self.polydata.Modified()


@dataclass
class Poster:
    """The picture on a rectangle, which may change."""

    image: vtk.vtkImageData

    def show(self, picture: Image) -> None:
        """Sets the picture (H, W, 3), of the size that it had."""
        pixels = vtk_to_numpy(self.image.GetPointData().GetScalars())
        pixels[:] = picture[::-1].reshape(-1, 3)
        self.image.GetPointData().GetScalars().Modified()
        self.image.Modified()


class Scene:
    """A renderer with lights, shadows and a camera; add surfaces, move them, and take pictures."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.renderer = vtk.vtkRenderer()
        self.renderer.SetBackground(0.6, 0.62, 0.65)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(8)
        self.window.SetSize(camera.width, camera.height)
        self.window.AddRenderer(self.renderer)
        self._aim()
        self._light()
        self._grab = vtk.vtkWindowToImageFilter()
        self._grab.SetInput(self.window)
        self._grab.ReadFrontBufferOff()

    def _aim(self) -> None:
        camera, R = self.renderer.GetActiveCamera(), np.asarray(self.camera.R_world_camera, float)
        position = np.asarray(self.camera.p_world_camera, float)
        camera.SetPosition(*position)
        camera.SetFocalPoint(*(position + R[:, 2]))
        camera.SetViewUp(*-R[:, 1])
        camera.SetViewAngle(np.degrees(2 * np.arctan(0.5 * self.camera.height / self.camera.focal_px)))
        camera.SetClippingRange(0.3, 12.0)

    def _light(self) -> None:
        self.renderer.AutomaticLightCreationOff()
        for position, strength, color in LAMPS:
            light = vtk.vtkLight()
            light.SetPositional(True)
            light.SetConeAngle(90)
            light.SetPosition(*position)
            light.SetFocalPoint(0.0, 0.7, -0.6)
            light.SetIntensity(strength)
            light.SetColor(*color)
            self.renderer.AddLight(light)

    def add_mesh(self, faces: NDArray[np.int64], vertices: Float, colors: Float, specular: float = 0.05) -> Surface:
        """Adds a smooth mesh: faces (F, 3 or 4), vertices (N, 3) m, colours (N, 3) or (3,) in [0, 1]."""
        polydata = vtk.vtkPolyData()
        points = vtk.vtkPoints()
        points.SetData(numpy_to_vtk(np.ascontiguousarray(vertices, np.float32), deep=True))
        polydata.SetPoints(points)
        cells = vtk.vtkCellArray()
        offsets = np.arange(len(faces) + 1, dtype=np.int64) * faces.shape[1]
        cells.SetData(
            numpy_to_vtkIdTypeArray(offsets, deep=True),
            numpy_to_vtkIdTypeArray(np.ascontiguousarray(faces, np.int64).ravel(), deep=True),
        )
        polydata.SetPolys(cells)
        rgb = np.broadcast_to(np.clip(colors, 0, 1) * 255, (len(vertices), 3)).astype(np.uint8)
        polydata.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(rgb), deep=True))
        normals = vtk.vtkPolyDataNormals()
        normals.SetInputData(polydata)
        normals.SplittingOff()
        normals.ConsistencyOff()
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputConnection(normals.GetOutputPort())
        self._add_actor(mapper, specular)
        return Surface(polydata)

    def add_rectangle(self, origin: Vector, u: Vector, v: Vector, picture: Image) -> Poster:
        """Adds a textured rectangle: a corner and two edges (3,) m, picture (H, W, 3), its first row far along v."""
        plane = vtk.vtkPlaneSource()
        plane.SetOrigin(*origin)
        plane.SetPoint1(*np.add(origin, u))
        plane.SetPoint2(*np.add(origin, v))
        plane.SetResolution(24, 24)
        image = vtk.vtkImageData()
        image.SetDimensions(picture.shape[1], picture.shape[0], 1)
        flat = np.ascontiguousarray(picture[::-1]).reshape(-1, 3)
        image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
        texture = vtk.vtkTexture()
        texture.SetInputData(image)
        texture.InterpolateOn()
        texture.MipmapOn()
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputConnection(plane.GetOutputPort())
        self._add_actor(mapper, 0.02).SetTexture(texture)
        return Poster(image)

    def add_box(self, low: Vector, high: Vector, color: Vector) -> None:
        """Adds a box between two corners (3,) m."""
        cube = vtk.vtkCubeSource()
        cube.SetBounds(low[0], high[0], low[1], high[1], low[2], high[2])
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputConnection(cube.GetOutputPort())
        self._add_actor(mapper, 0.05).GetProperty().SetColor(*color)

    def _add_actor(self, mapper: vtk.vtkPolyDataMapper, specular: float) -> vtk.vtkActor:
        actor = vtk.vtkActor()
        actor.SetMapper(mapper)
        surface = actor.GetProperty()
        surface.SetInterpolationToPhong()
        surface.SetAmbient(0.3)
        surface.SetDiffuse(0.85)
        surface.SetSpecular(specular)
        surface.SetSpecularPower(18)
        self.renderer.AddActor(actor)
        return actor

    def picture(self) -> Image:
        """Renders: (H, W, 3) uint8 RGB."""
        self.window.Render()
        self._grab.Modified()
        self._grab.Update()
        image = self._grab.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])
