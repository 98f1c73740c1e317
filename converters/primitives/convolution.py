"""Convolutions, plain and transposed: MLX keeps channels last, MIL in front."""

from __future__ import annotations

import mlx.core as mx

from converters.graph import Node
from converters.primitives.registry import Case, primitive


def _convolution(node: Node, x: mx.array, w: mx.array) -> mx.array:
    stride, low, high, kernel_dilation, input_dilation, groups, flip = node.args
    return mx.conv_general(x, w, stride, (low, high), kernel_dilation, input_dilation, groups, flip)


primitive(
    "Convolution",
    _convolution,
    [
        Case("one", lambda x, w: mx.conv1d(x, w, 2, 1), [(2, 8, 4), (6, 3, 4)]),
        Case("depthwise", lambda x: mx.conv1d(x, mx.arange(12.0).reshape(4, 3, 1), groups=4), [(1, 8, 4)]),
        Case("two", lambda x: mx.conv2d(x, mx.arange(36.0).reshape(2, 3, 3, 2), 2, (1, 2), 2, 2), [(1, 9, 8, 4)]),
        Case("three", lambda x, w: mx.conv3d(x, w, 1, 1), [(1, 4, 4, 4, 2), (3, 3, 3, 3, 2)]),
        Case("uneven", lambda x, w: mx.conv_general(x, w, padding=([0, 2], [1, 3])), [(1, 5, 6, 2), (3, 3, 3, 2)]),
        Case("dilated", lambda x, w: mx.conv2d(x, w, dilation=(2, 3)), [(1, 7, 8, 2), (3, 2, 3, 2)]),
        Case("flipped", lambda x, w: mx.conv_general(x, w, padding=2, flip=True), [(1, 6, 2), (3, 3, 2)]),
        Case(
            "transposed",
            lambda x: mx.conv_transpose1d(x, mx.arange(72.0).reshape(6, 3, 4), 2, 1, output_padding=1),
            [(1, 8, 4)],
        ),
        Case(
            "transposed_groups",
            lambda x: mx.conv_transpose2d(x, mx.arange(96.0).reshape(6, 4, 2, 2), 2, (1, 0), 2, groups=2),
            [(1, 5, 6, 4)],
        ),
        Case("transposed_variable", lambda x, w: mx.conv_transpose1d(x, w, 3, 0, groups=2), [(1, 5, 4), (6, 2, 2)]),
        Case("transposed_three", lambda x, w: mx.conv_transpose3d(x, w, 2), [(1, 3, 3, 3, 2), (3, 2, 2, 2, 2)]),
        Case("transposed_plain", lambda x, w: mx.conv_transpose1d(x, w, 1, 1), [(1, 5, 4), (6, 3, 4)]),
        Case(
            "both_strides",
            lambda x, w: mx.conv_general(x, w, 2, ([3], [1]), 2, 3, 1, False),
            [(1, 7, 4), (6, 3, 4)],
        ),
        Case("cropped", lambda x, w: mx.conv_transpose1d(x, w, 1, 3), [(1, 9, 4), (6, 3, 4)]),
    ],
)
