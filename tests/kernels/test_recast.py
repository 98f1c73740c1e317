"""Whatever order they come and go in, modules end in the class that they had."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx import nn
from mlx_lm.models import llama

from tests.language.conftest import SHAPE
from wotd_mlx.kernels.recast import recast
from wotd_mlx.kernels.swiglu import fast_swiglu
from wotd_mlx.language.training.checkpointing import checkpointed


class Plain(nn.Module):
    def __call__(self) -> str:
        return "plain"


def saying(word: str):
    made: dict[type, type] = {}

    def subclass(kind: type) -> type:
        return made.setdefault(kind, type("Saying", (kind,), {"__call__": lambda _: f"{word} {kind.__call__(_)}"}))

    return subclass


LOUD, PROUD = saying("loud"), saying("proud")


def small() -> nn.Module:
    return llama.Model(llama.ModelArgs.from_dict(SHAPE))


@given(
    st.permutations(range(4)),
    st.lists(st.sampled_from([LOUD, PROUD]), min_size=4, max_size=4),
)
def test_who_leaves_first_takes_only_its_own(order, wanted):
    one, other = Plain(), Plain()
    inside = [recast([one, one], subclass) for subclass in wanted]
    for context in inside:
        context.__enter__()
    left = list(range(4))
    for number in order:
        words = {"loud" if wanted[i] is LOUD else "proud" for i in left}
        assert sorted(one().split()) == sorted([*words, "plain"])
        assert other() == "plain"
        inside[number].__exit__(None, None, None)
        left.remove(number)
    assert type(one) is Plain
    assert one() == "plain"


@pytest.mark.parametrize("first_out", ["checkpointed", "quick"])
def test_a_model_with_both_has_its_own_classes_again(first_out):
    model = small()
    kinds = [type(module) for module in model.modules()]
    calls = [kind.__call__ for kind in kinds]
    quick, again = ExitStack(), ExitStack()
    quick.enter_context(fast_swiglu(model))
    again.enter_context(checkpointed(model))
    assert sum(type(module) is not kind for module, kind in zip(model.modules(), kinds, strict=True)) == 4
    for stack in (again, quick) if first_out == "checkpointed" else (quick, again):
        stack.close()
    assert [type(module) for module in model.modules()] == kinds
    assert [kind.__call__ for kind in kinds] == calls


@pytest.mark.parametrize("context", [fast_swiglu, checkpointed])
def test_an_error_inside_leaves_the_classes_as_they_were(context):
    model = small()
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(KeyError), context(model), context(model):
        raise KeyError
    assert [type(module) for module in model.modules()] == kinds


def test_two_threads_share_a_model():
    model = small()
    kinds = [type(module) for module in model.modules()]

    def turns(found: list[bool]) -> None:
        for _ in range(200):
            with fast_swiglu(model), checkpointed(model):
                found.append(all(type(layer) is not llama.TransformerBlock for layer in model.layers))

    found: list[bool] = []
    threads = [threading.Thread(target=turns, args=(found,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 800
    assert [type(module) for module in model.modules()] == kinds
