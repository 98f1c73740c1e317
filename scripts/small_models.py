"""Every architecture of mlx-lm as a small model with random weights."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
from mlx import nn

from scripts.conversions import UnbuiltError, short
from scripts.small_modules import settled
from scripts.small_modules import tokens as some_tokens

TOKENS = 8
HIDDEN, HEADS, HEAD, FEED, VOCAB, LAYERS = 64, 4, 16, 96, 64, 2

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "model_dim", "block_dim", "hidden_dim", "lru_width"), HIDDEN),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "swa_num_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "n_kv_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("num_attention_groups", "num_swa_key_value_heads", "num_global_key_value_heads"), 2),
    **dict.fromkeys(("num_swa_attention_heads",), HEADS),
    **dict.fromkeys(("head_dim", "swa_head_dim", "v_head_dim", "swa_v_head_dim", "qk_nope_head_dim"), HEAD),
    **dict.fromkeys(("hidden_size_per_head", "kv_channels", "global_head_dim", "index_head_dim"), HEAD),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("intermediate_size", "ffn_hidden_size", "ff_intermediate_size", "n_inner", "block_ff_dim"), FEED),
    **dict.fromkeys(("shared_intermediate_size", "intermediate_size_mlp", "shared_expert_intermediate_size"), FEED),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size", "moe_shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("share_expert_dim", "mamba_d_ssm"), 64),
    **dict.fromkeys(("vocab_size", "num_vocab", "vocab_size_per_layer_input"), VOCAB),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(
        ("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token", "top_k_experts", "moe_top_k"), 2
    ),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("topk_group", "first_k_dense_replace", "decoder_sparse_step"), 1),
    **dict.fromkeys(("moe_layer_freq", "n_groups", "mamba_n_groups", "group_norm_size", "num_dense_layers"), 1),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank"), 16),
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "layernorm_epsilon"), 1e-5),
    **dict.fromkeys(("norm_epsilon",), 1e-5),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "model_max_length", "block_size"), 128),
    **dict.fromkeys(("rope_theta", "swa_rope_theta", "rotary_emb_base"), 10000.0),
    **dict.fromkeys(("routed_scaling_factor", "logits_scaling", "attention_multiplier", "embedding_multiplier"), 1.0),
    **dict.fromkeys(("residual_multiplier", "scale_depth", "scale_emb"), 1.0),
    **dict.fromkeys(("partial_rotary_factor", "rotary_pct"), 0.5),
    **dict.fromkeys(("sliding_window", "sliding_window_size", "attention_window_size", "conv_window"), 4),
    **dict.fromkeys(("conv_kernel", "conv_L_cache", "mamba_d_conv", "linear_conv_kernel_dim", "conv1d_width"), 4),
    **dict.fromkeys(("short_conv_kernel_size",), 4),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size", "time_step_rank"), 8),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "mamba_head_dim", "mamba_d_head"), HEAD),
    **dict.fromkeys(("mamba_num_heads", "mamba_n_heads"), HEADS),
    **dict.fromkeys(("a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim", "decay_low_rank_dim"), 8),
    **dict.fromkeys(("index_n_heads", "index_topk"), 4),
    **dict.fromkeys(("n_group", "num_expert_group"), 2),
    "mamba_expand": 2,
    "mlp_only_layers": [],
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
}
"""Fields by name, wherever an architecture has them."""

MIXED = ["sliding_attention", "full_attention"]
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {
    **{"type": "yarn", "rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0, "beta_fast": 32, "beta_slow": 1},
    **{"mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 64, "llama_4_scaling_beta": 0.1},
}
KDA = {
    **{"kda_layers": [1], "full_attn_layers": [2], "num_heads": HEADS, "head_dim": HEAD, "short_conv_kernel_size": 4},
    "gate_lower_bound": -5.0,
}
LONGCAT = {"mla_scale_q_lora": True, "mla_scale_kv_lora": True, "zero_expert_num": 1}
QWEN_NEXT = {"full_attention_interval": 2, "linear_num_value_heads": 4}

OVERRIDES: dict[str, dict[str, Any]] = {
    "afm7": {"num_layers": 3, "num_kv_reuse_layers": 1},
    "afmoe": {"layer_types": MIXED},
    "baichuan_m1": {"conv_window": 2, "sliding_window_layers": [0]},
    "cohere2": {"sliding_window_pattern": 2},
    "dbrx": {
        "ffn_config": {"ffn_hidden_size": FEED, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
    },
    "deepseek_v2": {"rope_scaling": YARN},
    "exaone_moe": {"layer_types": MIXED, "is_moe_layer": [False, True]},
    "gear": {"layer_types": ["conv", "full_attention"]},
    "gemma3_text": {"sliding_window_pattern": 2},
    "gemma3n": {
        **{
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": MIXED * 2,
            "intermediate_size": [FEED] * 4,
        },
        **{"activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0], "hidden_size_per_layer_input": 16, "laurel_rank": 8},
        **{"altup_num_inputs": 2, "altup_active_idx": 0, "altup_coef_clip": 100.0, "final_logit_softcapping": 30.0},
        "rope_local_base_freq": 1e4,
    },
    "gemma4_text": {
        **{"num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": MIXED * 2},
        "hidden_size_per_layer_input": 16,
    },
    "glm_moe_dsa": {"rope_parameters": ROPE},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan": {"rope_scaling": {"alpha": 1.0, "factor": 1.0, "type": "dynamic"}, "cla_share_factor": 2},
    "jamba": {
        **{"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2},
    },
    "kimi_k3": {"linear_attn_config": KDA},
    "kimi_linear": {"linear_attn_config": KDA},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8, "block_ffn_dim_multiplier": 1.0},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "llama4": {
        **{"rope_scaling": None, "attention_chunk_size": 4, "interleave_moe_layer_step": 2},
        **{"num_experts_per_tok": 1, "num_hidden_layers": 4},
    },
    "llama4_text": {"no_rope_layers": [1, 0]},
    "longcat_flash": LONGCAT | {"attention_method": "MLA", "zero_expert_type": "identity"},
    "longcat_flash_ngram": LONGCAT,
    "mamba2": {"time_step_limit": (0.0, 100.0), "hidden_size": 32, "num_heads": 4, "head_dim": 16},
    "mellum": {"layer_types": MIXED, "rope_parameters": dict.fromkeys(MIXED, ROPE)},
    "mimo_v2_flash": {"hybrid_layer_pattern": [0, 1], "moe_layer_freq": [0, 1]},
    "minicpm3": {
        "rope_scaling": {
            **{"original_max_position_embeddings": 128, "short_factor": [1.0] * 4, "long_factor": [1.0] * 4},
        }
    },
    "minimax_m3_vl": {
        **{"moe_layer_freq": [0, 1], "dense_intermediate_size": FEED, "index_head_dim": None, "index_n_heads": None},
    },
    "ministral3": {"rope_parameters": YARN},
    "mistral4": {"rope_parameters": YARN},
    "muse_spark": {
        **{"num_shared_experts": 0, "mlp_layer_types": ["sparse"] * 2, "layer_types": MIXED, "rope_parameters": ROPE},
        **{"layer_rope_theta": [10000.0, 0], "moe_hidden_size": 64, "final_logit_softcapping": 30.0},
    },
    "nemotron-nas": {
        "block_configs": [
            {"attention": attention, "ffn": {"ffn_mult": 1.0}}
            for attention in ({"n_heads_in_group": 2}, {"no_op": True})
        ]
    },
    "nemotron_h": {"hybrid_override_pattern": ["M", "*", "-", "E"], "time_step_limit": (0.0, 100.0)},
    "olmo3": {"layer_types": MIXED},
    "openelm": {"num_query_heads": [4, 4], "num_kv_heads": [2, 2], "ffn_multipliers": [1.0, 2.0], "ffn_dim_divisor": 8},
    # Its Model blanks out rows of a vocabulary of this size.
    "phi3small": {"vocab_size": 100352},
    "plamo": {"n_shared_head": 2, "num_key_value_heads": 2},
    "prism_hadamard_qwen35": {
        **{"schema_version": 1, "tensor_namespace": "mlx-lm-text"},
        "quantization": {"bits": 2, "group_size": 128, "mode": "affine"},
        "modules": [
            {"path": path, "embedding": "embed" in path, "dtype": "float16", "block": 512}
            for path in ("model.embed_tokens", "model.layers.1.self_attn.q_proj")
        ],
        "text_config": QWEN_NEXT | {"hidden_size": 512},
    },
    "qwen3_5": QWEN_NEXT,
    "qwen3_5_moe": {"text_config": QWEN_NEXT},
    "qwen3_next": QWEN_NEXT,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "logits_soft_cap": 30.0, "num_key_value_heads": 1},
    "spark2_5": {"layer_types": MIXED, "rope_parameters": dict.fromkeys(MIXED, ROPE)},
}
"""What an architecture needs beside :data:`SMALL`."""
TEXT = {
    **{
        "gemma3": "gemma3_text",
        "gemma4": "gemma4_text",
        "lfm2-vl": "lfm2",
        "mistral3": "ministral3",
        "pixtral": "llama",
    },
    **{"qwen2_vl": "qwen2", "qwen3_vl": "qwen3", "qwen3_vl_moe": "qwen3_moe"},
}
"""Where ``text_config`` is another architecture's."""


def architectures() -> list[str]:
    """Every file of ``mlx_lm.models`` that defines a Model."""
    spec = find_spec("mlx_lm.models")
    folder = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    return sorted(path.stem for path in folder.glob("*.py") if "\nclass Model(" in path.read_text())


def config(cls: type, name: str) -> dict[str, Any]:
    """Small values for a config class: by field name, for required fields else by type."""
    made: dict[str, Any] = {"model_type": name}
    for field in fields(cls):
        if field.name in SMALL:
            made[field.name] = SMALL[field.name]
        elif field.name not in made and field.default is MISSING and field.default_factory is MISSING:
            made[field.name] = _by_type(field)
    return made | OVERRIDES.get(name, {})


def _by_type(field: Field[Any]) -> Any:
    kind = str(field.type)
    for word, value in (("Optional", None), ("Dict", {}), ("dict", {}), ("ist", []), ("bool", False), ("str", "")):
        if word in kind:
            return value
    return 1.0 if "float" in kind else 2


def build(name: str) -> nn.Module:
    """A small model of an architecture, its weights random and evaluated.

    Raises:
        UnbuiltError: its file can't be imported, or its config is beyond what is known here.
    """
    try:
        module = import_module(f"mlx_lm.models.{name}")
        args = module.ModelArgs
        params = config(args, name)
        if "text_config" in {field.name for field in fields(args)}:
            params["text_config"] = _text_config(module, name) | params.get("text_config", {})
        mx.random.seed(0)
        model: nn.Module = module.Model(args.from_dict(params))
        settled(model)
    except (Exception, SystemExit) as error:
        raise UnbuiltError(short(error)) from error
    return model


def _text_config(module: ModuleType, name: str) -> dict[str, Any]:
    if name in TEXT:
        return config(import_module(f"mlx_lm.models.{TEXT[name]}").ModelArgs, TEXT[name])
    for found in ("TextArgs", "TextModelArgs", "TextConfig"):
        cls = getattr(module, found, None)
        if isinstance(cls, type) and is_dataclass(cls):
            return config(cls, name)
    return SMALL | {"model_type": name}


def tokens() -> mx.array:
    """(1, 8) int32."""
    return some_tokens(TOKENS, VOCAB)
