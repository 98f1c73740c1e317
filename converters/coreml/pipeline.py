"""Which of coremltools' passes run over a program, and in which order.

Named one by one, so that none runs that isn't tested here (each alone, over large integers and numbers that are not
finite). Left out are those that change what is computed: ``add_int16_cast`` cuts integers to 16 bits whatever they hold
(a token of 128,000 became −3,072), ``divide_to_multiply`` rounds twice, and what is divided by a subnormal becomes
infinite; ``fuse_elementwise_to_batchnorm`` gives a product and a sum an epsilon of 1e-5, which neither had;
``select_optimization`` takes an infinity for a mask; and those for images, states, loops, quantised
activations and shapes that aren't fixed, of which a program here has none.
"""

from __future__ import annotations

import coremltools as ct

HALVING = "add_fp16_cast"
"""Which runs in half precision alone."""
PASSES = (
    "cast_optimization",
    "noop_elimination",
    "const_elimination",
    "const_deduplication",
    "fuse_linear_bias",
    "fuse_matmul_weight_bias",
    "fuse_leaky_relu",
    "fuse_squeeze_expand_dims",
    "merge_consecutive_paddings",
    "fuse_pad_conv",
    "fuse_conv_scale",
    "fuse_conv_bias",
    "fuse_layernorm_or_instancenorm",
    "fuse_reduce_mean",
    "fuse_conv_batchnorm",
    "fuse_prelu",
    "prelu_to_lrelu",
    "merge_consecutive_relus",
    "merge_consecutive_reshapes",
    "merge_consecutive_transposes",
    "fuse_transpose_matmul",
    "reduce_transposes",
    # Once more, where nothing stands between a convolution and what a batch norm does to it any longer.
    "fuse_conv_scale",
    "fuse_conv_bias",
    "remove_redundant_ops",
    "dedup_op_and_var_names",
    HALVING,
    "const_elimination",
    "cast_optimization",
    "const_deduplication",
    "noop_elimination",
    "dead_code_elimination",
    "topological_reorder",
)


def pipeline() -> ct.PassPipeline:
    """:data:`PASSES` as coremltools takes them."""
    return ct.PassPipeline([f"common::{name}" for name in PASSES], "wotd-mlx")
