"""A tflite graph as a ``torch.nn.Module``. NCHW inside; inputs and outputs keep the NHWC layout of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocap.models.tflite import Graph, Operator, TfliteError


class TfliteModule(nn.Module):
    """Runs the operators of a graph in their order.

    Args:
        graph: As :func:`mocap.models.tflite.read_graph` gives it, with one input.
        outputs: Name of each output -> its tensor number, and the shape without the batch that it is handed out in.
            Operators that none of them needs are left out.

    ``forward`` takes the input (B, H, W, C) and returns the outputs by name, each (B, *shape), channels last.
    The batch is free. No control flow depends on data, so the module traces and exports.

    Raises:
        TfliteError: the graph holds an operator, or an option of one, that is not known here.
    """

    def __init__(self, graph: Graph, outputs: Mapping[str, tuple[int, Sequence[int]]]) -> None:
        super().__init__()
        graph = graph.with_outputs([number for number, _ in outputs.values()])
        self._input = graph.inputs[0]
        self._outputs = dict(outputs)
        self._routes: list[tuple[tuple[int, ...], int]] = []
        self.layers = nn.ModuleList()
        for operator in graph.operators:
            if operator.kind not in BUILDERS:
                raise TfliteError(f"Operator {operator.kind} is not known; known are {', '.join(sorted(BUILDERS))}")
            self.layers.append(BUILDERS[operator.kind](operator, graph))
            live = tuple(number for number in operator.inputs if number >= 0 and number not in graph.constants)
            self._routes.append((live, operator.outputs[0]))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        values = {self._input: image.permute(0, 3, 1, 2)}
        for layer, (inputs, output) in zip(self.layers, self._routes, strict=True):
            values[output] = layer(*(values[number] for number in inputs))
        return {name: to_nhwc(values[number]).reshape(-1, *shape) for name, (number, shape) in self._outputs.items()}


def to_nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


class _Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor], activation: str = "NONE") -> None:
        super().__init__()
        self.function = function
        self.activation = _activation(activation)

    def forward(self, *inputs: Tensor) -> Tensor:
        y: Tensor = self.activation(self.function(*inputs))
        return y


class _Conv(nn.Module):
    def __init__(self, weight: np.ndarray, bias: np.ndarray | None, groups: int, operator: Operator, size: int) -> None:
        super().__init__()
        options = operator.options
        if (options["dilationHFactor"], options["dilationWFactor"]) != (1, 1):
            raise TfliteError(f"{operator.kind} with dilation is not known")
        self.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(torch.from_numpy(bias.copy()), requires_grad=False)
        self.stride = (options["strideH"], options["strideW"])
        self.groups = groups
        if options["padding"] == "SAME":
            before, after = same_padding(size, weight.shape[2], self.stride[0])
        else:
            before = after = 0
        # Equal padding goes into the convolution itself, which every engine runs faster than a pad of its own.
        self.inner = before if before == after else 0
        self.outer = (0, 0, 0, 0) if before == after else (before, after, before, after)
        self.activation = _activation(options["fusedActivationFunction"])

    def forward(self, x: Tensor) -> Tensor:
        if any(self.outer):
            x = F.pad(x, self.outer)
        y: Tensor = self.activation(F.conv2d(x, self.weight, self.bias, self.stride, self.inner, groups=self.groups))
        return y


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding before and after one dimension; what is odd goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _activation(name: str) -> nn.Module:
    known: dict[str, Callable[[], nn.Module]] = {"NONE": nn.Identity, "RELU": nn.ReLU, "RELU6": nn.ReLU6}
    if name not in known:
        raise TfliteError(f"Activation {name} is not known; known are {', '.join(known)}")
    return known[name]()


def _square(operator: Operator, graph: Graph, kernel: tuple[int, ...]) -> int:
    """Side of the operator's input; pictures, kernels and strides are square in every graph that is read here."""
    height, width = graph.shapes[operator.inputs[0]][1:3]
    strides = operator.options["strideH"], operator.options["strideW"]
    if height != width or len(set(kernel)) != 1 or strides[0] != strides[1]:
        raise TfliteError(
            f"{operator.kind} on {height}x{width} with kernel {kernel} and stride {strides} is not square"
        )
    return height


def _bias(operator: Operator, graph: Graph) -> np.ndarray | None:
    given = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    return graph.constants[operator.inputs[2]] if given else None


def _conv(operator: Operator, graph: Graph) -> nn.Module:
    weight = graph.constants[operator.inputs[1]]  # (out, height, width, in)
    size = _square(operator, graph, weight.shape[1:3])
    return _Conv(weight.transpose(0, 3, 1, 2), _bias(operator, graph), 1, operator, size)


def _depthwise_conv(operator: Operator, graph: Graph) -> nn.Module:
    weight = graph.constants[operator.inputs[1]]  # (1, height, width, in * multiplier)
    size = _square(operator, graph, weight.shape[1:3])
    groups = graph.shapes[operator.inputs[0]][3]
    return _Conv(weight.transpose(3, 0, 1, 2), _bias(operator, graph), groups, operator, size)


def _max_pool(operator: Operator, graph: Graph) -> nn.Module:
    options = operator.options
    kernel = (options["filterHeight"], options["filterWidth"])
    stride = (options["strideH"], options["strideW"])
    if options["padding"] != "VALID":
        raise TfliteError("MAX_POOL_2D with SAME padding is not known")
    return _Apply(lambda x: F.max_pool2d(x, kernel, stride), options["fusedActivationFunction"])


def _pad(operator: Operator, graph: Graph) -> nn.Module:
    batch, height, width, channel = graph.constants[operator.inputs[1]].tolist()
    if any(batch):
        raise TfliteError("PAD of the batch is not known")
    widths = [*width, *height, *channel]
    return _Apply(lambda x: F.pad(x, widths))


def _resize_bilinear(operator: Operator, graph: Graph) -> nn.Module:
    size = graph.constants[operator.inputs[1]].tolist()
    corners, half_pixel = operator.options["alignCorners"], operator.options["halfPixelCenters"]
    if corners == half_pixel:
        raise TfliteError(f"RESIZE_BILINEAR with alignCorners = halfPixelCenters = {corners} is not known")
    return _Apply(lambda x: F.interpolate(x, size, mode="bilinear", align_corners=corners))


def _depth_to_space(operator: Operator, graph: Graph) -> nn.Module:
    block = operator.options["blockSize"]

    def apply(x: Tensor) -> Tensor:
        # TensorFlow stores a channel as (block row, block column, channel), torch's pixel_shuffle the other way round.
        b, c, h, w = x.shape
        blocks = x.reshape(b, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(b, c // block**2, h * block, w * block)

    return _Apply(apply)


def _reshape(operator: Operator, graph: Graph) -> nn.Module:
    before, after = graph.shapes[operator.inputs[0]], graph.shapes[operator.outputs[0]]
    if before[0] != after[0] or len(after) == 4:
        raise TfliteError(f"RESHAPE of {before} to {after} is not known: the batch must stay, four dimensions must not")
    return _Apply(lambda x: to_nhwc(x).reshape(-1, *after[1:]))


def _concatenation(operator: Operator, graph: Graph) -> nn.Module:
    rank, axis = len(graph.shapes[operator.outputs[0]]), operator.options["axis"]
    dimension = {0: 0, 1: 2, 2: 3, 3: 1}[axis % 4] if rank == 4 else axis
    return _Apply(lambda *inputs: torch.cat(inputs, dimension), operator.options["fusedActivationFunction"])


def _add(operator: Operator, graph: Graph) -> nn.Module:
    if any(number in graph.constants for number in operator.inputs):
        raise TfliteError("ADD of a constant is not known")
    return _Apply(torch.add, operator.options["fusedActivationFunction"])


def _logistic(operator: Operator, graph: Graph) -> nn.Module:
    return _Apply(torch.sigmoid)


BUILDERS: dict[str, Callable[[Operator, Graph], nn.Module]] = {
    "ADD": _add,
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise_conv,
    "DEPTH_TO_SPACE": _depth_to_space,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _max_pool,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize_bilinear,
}
