"""The parts of a model against the whole, for each architecture that does something else with its logits."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tuner.utils import linear_to_lora_layers

from tests.tolerances import close
from wotd_mlx.language.head import Head

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "vocab_size": 96,
    "rope_theta": 10000.0,
}
APART: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "phi3": {"tie_word_embeddings": False, "max_position_embeddings": 128, "original_max_position_embeddings": 128},
    "qwen2": {"tie_word_embeddings": False},
    "qwen3": {"tie_word_embeddings": True, "max_position_embeddings": 128},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 16.0, "final_logit_softcapping": 2.0},
    "gemma3_text": {"sliding_window_pattern": 2, "query_pre_attn_scalar": 16},
    "cohere": {"logit_scale": 0.0625, "layer_norm_eps": 1e-5},
    "granite": {
        "logits_scaling": 3.0,
        "attention_multiplier": 0.25,
        "embedding_multiplier": 4.0,
        "residual_multiplier": 0.5,
        "max_position_embeddings": 128,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
    },
}
WHOLE: dict[str, dict[str, Any]] = {
    "minicpm": {"dim_model_base": 16, "scale_depth": 1.4, "scale_emb": 12.0, "tie_word_embeddings": False},
    "mamba": {"state_size": 8, "conv_kernel": 4, "time_step_rank": 4, "use_bias": False, "use_conv_bias": True},
}
TOKENS = mx.array([[5, 60, 7, 8, 95], [1, 2, 3, 4, 5]])
ROWS = mx.array([95, 0, 17, 4])


def small(name: str, changes: dict[str, Any], quantised: bool = False) -> nn.Module:
    """A random model whose logits differ from each other."""
    module = importlib.import_module(f"mlx_lm.models.{name}")
    model = module.Model(module.ModelArgs.from_dict({"model_type": name, **SMALL, **changes}))
    flat: Any = tree_flatten(model.parameters())
    keys = mx.random.split(mx.random.key(0), len(flat))
    model.update(
        tree_unflatten(
            [
                (name, value if value.ndim != 2 else 0.15 * mx.random.normal(value.shape, key=key))
                for (name, value), key in zip(flat, keys, strict=True)
            ]
        )
    )
    if quantised:
        nn.quantize(model, group_size=32, bits=4)
    mx.eval(model.parameters())
    return model


@pytest.mark.parametrize("quantised", [False, True], ids=["plain", "quantised"])
@pytest.mark.parametrize("name", APART)
def test_parts_give_the_logits_of_the_whole(name: str, quantised: bool) -> None:
    model = small(name, APART[name], quantised)
    head = Head(model)
    assert head.apart
    whole = model(TOKENS)
    hidden = head.hidden(TOKENS)
    assert hidden.shape == (2, 5, 64)
    assert head.vocabulary == 96
    close(head.logits(hidden), whole, "parts")
    close(head.logits(hidden, ROWS), whole[..., ROWS], "parts")
    close(head.logits(hidden[0, -1], ROWS[:1]), whole[0, -1, ROWS[:1]], "parts")


@pytest.mark.parametrize("name", WHOLE)
def test_a_model_without_such_parts_is_called_whole(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = small(name, WHOLE[name])
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        head = Head(model)
    assert not head.apart
    assert [record.getMessage() for record in caplog.records] == [
        f"mlx_lm.models.{name} can't be taken apart: every token computes all of its 96 logits"
    ]
    whole = model(TOKENS)
    close(head.logits(head.hidden(TOKENS)), whole, "exact")
    close(head.logits(head.hidden(TOKENS), ROWS), whole[..., ROWS], "exact")


def test_a_changed_output_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    model = small("llama", APART["llama"])

    class Louder(type(model)):
        def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
            logits: mx.array = 1.01 * super().__call__(*args, **kwargs)
            return logits

    model.__class__ = Louder
    assert not Head(model).apart


def test_a_cache_goes_through_the_parts() -> None:
    model = small("llama", APART["llama"])
    head = Head(model)
    cache = make_prompt_cache(model)
    head.hidden(TOKENS[:, :3], cache=cache)
    assert cache[0].offset == 3
    close(head.logits(head.hidden(TOKENS[:, 3:], cache=cache)), model(TOKENS)[:, 3:], "parts")


@pytest.mark.parametrize("quantised", [False, True], ids=["plain", "quantised"])
@pytest.mark.parametrize(("name", "layer"), [("llama", "model.embed_tokens"), ("phi3", "lm_head")])
def test_an_adapter_on_the_output_matrix(name: str, layer: str, quantised: bool) -> None:
    model = small(name, APART[name], quantised)
    head = Head(model)
    before = model(TOKENS)
    linear_to_lora_layers(model, 2, {"rank": 4, "scale": 2.0, "dropout": 0.5, "keys": [layer]})
    flat: Any = tree_flatten(model.parameters())
    keys = mx.random.split(mx.random.key(1), len(flat))
    lora = [
        (name, mx.random.normal(value.shape, key=key))
        for (name, value), key in zip(flat, keys, strict=True)
        if name.rsplit(".", 1)[-1].startswith("lora_")
    ]
    model.load_weights(lora, strict=False)
    model.eval()
    whole = model(TOKENS)
    assert mx.abs(whole - before).max().item() > 0.1
    close(head.logits(head.hidden(TOKENS), ROWS), whole[..., ROWS], "parts")
    model.train()
    assert Head(model).apart, "dropout is off while the parts are compared"
    assert model.training
