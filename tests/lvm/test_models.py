"""What holds for each of the thirteen: its forms agree, it sees no future, its sizes are as published."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten, tree_map

from tests.lvm.forms import in_pieces, reads_alike, sees_no_future
from tests.tolerances import close
from wotd_mlx.lvm import NAMES, architecture, build, preset
from wotd_mlx.schemas import WotdError

DIMS = 24


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    mx.random.seed(0)
    model = build(request.param, preset(request.param, "tiny", dims=DIMS))
    # A block whose last weights begin at zero adds nothing, and would hide what goes wrong inside it.
    model.update(tree_map(filled, model.trainable_parameters()))
    mx.eval(model.parameters())
    return model.eval()


def filled(weight: mx.array) -> mx.array:
    return weight if weight.any().item() else 0.02 * mx.random.normal(weight.shape)


def vectors(batch: int, length: int) -> mx.array:
    return mx.random.normal((batch, length, DIMS), key=mx.random.key(1)) * DIMS**-0.5


@pytest.mark.parametrize("batch", [1, 3])
def test_forms_agree(model, batch):
    reads_alike(model, vectors(batch, 17), [9], [1, 14])


CHUNKED = [name for name in NAMES if "chunk" in architecture(name).Config.__dataclass_fields__]


@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_change_nothing(name):
    """29 positions in chunks of 4, of 7 and in one, from a fresh start and after 5 others; and 3 more after them."""

    def made(chunk):
        mx.random.seed(0)
        model = build(name, preset(name, "tiny", dims=DIMS, depth=2, chunk=chunk))
        model.update(tree_map(filled, model.trainable_parameters()))
        return model.eval()

    x = vectors(2, 37)
    for cuts in ([29], [5, 34]):
        want, _ = in_pieces(made(64), x, cuts)
        for chunk in (4, 7):
            close(in_pieces(made(chunk), x, cuts)[0], want, "forms")


def test_a_state_can_be_used_twice(model):
    x = vectors(2, 9)
    _, state = model(x[:, :8])
    once, _ = model.step(x[:, 8], state)
    model(x[:, :5], state)
    again, _ = model.step(x[:, 8], state)
    close(again, once, "exact")


def test_a_later_vector_changes_no_earlier_prediction(model):
    sees_no_future(model, vectors(2, 13), 7)


def test_the_state_has_the_size_that_is_said(model):
    sizes = []
    for length in (20, 40):
        _, state = model(vectors(1, length))
        sizes.append(sum(leaf.size for _, leaf in tree_flatten(state) if isinstance(leaf, mx.array)))
    about = architecture(type(model).__module__.rpartition(".")[2]).ABOUT
    assert (sizes[0] == sizes[1]) == (about.step_memory == "O(1)")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_is(name):
    module = architecture(name)
    assert set(module.PRESETS) == {"tiny", "paper"}
    assert module.PRESETS["paper"].dims == 768
    assert re.search(r"\d{4}\.\d{5}|doi|radford|huggingface", module.ABOUT.reference.lower())
    assert len(Path(module.__file__).read_text().splitlines()) <= 300
    with pytest.raises(FrozenInstanceError):
        module.PRESETS["tiny"].dims = 1


@pytest.mark.parametrize("name", NAMES)
def test_presets_have_the_published_sizes(name):
    """Counted without a number being computed: MLX is lazy."""
    about = architecture(name).ABOUT
    assert abs(build(name, preset(name, "paper")).size / about.published - 1) < 0.03
    assert 1e6 <= build(name, preset(name, "tiny", dims=384)).size <= 3e6


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_out_of_its_range_is_refused(name):
    for field, wrong, told in (("dims", 0, "int >= 1"), ("width", 1.5, "int"), ("dropout", 1.0, "float < 1.0")):
        with pytest.raises(WotdError, match=f"^{name} {field} is {wrong}, expected {told}"):
            preset(name, "tiny", **{field: wrong})


def test_an_unknown_model_preset_or_setting_is_refused():
    with pytest.raises(WotdError, match="unknown model 'gpt5'; expected one of lstm, gru"):
        architecture("gpt5")
    with pytest.raises(WotdError, match="unknown preset 'huge'; expected one of"):
        preset("lstm", "huge")
    with pytest.raises(WotdError, match="lstm has no setting color"):
        preset("lstm", "tiny", color=1)
