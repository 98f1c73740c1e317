"""What happens between capture and lowering: constants are folded, and what MLX takes apart is put together again."""

from __future__ import annotations

from collections.abc import Callable

from converters.graph import Graph
from converters.passes.activations import fuse_activations
from converters.passes.attention import fuse_attention
from converters.passes.broadcast import drop_broadcasts
from converters.passes.dequantize import dequantise_tables
from converters.passes.empty import drop_empty
from converters.passes.fold import fold_constants
from converters.passes.indexing import join_indexing
from converters.passes.linear import fuse_linear
from converters.passes.norms import fuse_norms
from converters.passes.pools import fuse_pools
from converters.passes.ranks import narrow_ranks
from converters.passes.slices import slice_constant_gathers, squeeze_slices
from converters.passes.tidy import drop_dead, drop_identities, merge_equal, name_outputs

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    drop_dead,
    drop_empty,
    drop_identities,
    # Before folding, which would write a broadcast constant out in full.
    drop_broadcasts,
    fold_constants,
    fuse_pools,
    slice_constant_gathers,
    squeeze_slices,
    join_indexing,
    dequantise_tables,
    merge_equal,
    fuse_norms,
    fuse_activations,
    fuse_linear,
    fuse_attention,
    narrow_ranks,
    drop_dead,
    name_outputs,
)


def run_passes(graph: Graph) -> Graph:
    """The graph through every pass, its rules checked after each."""
    for step in PASSES:
        graph = step(graph).check(step.__name__)
    return graph
