"""Language models in llama.cpp's file format: Llama's architecture in Q4_0, Q4_1, Q8_0, F16 or F32, and its tokenizer.

Tensors are read here too: MLX's reader dies of a damaged file, and opens a good one for writing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.io.records import line_of
from wotd_mlx.kernels.choice import cpu_path
from wotd_mlx.language.gguf_header import SIZES, Header, Tensor, read_header, short
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

__all__ = ["llama_config", "load_gguf", "read_header", "read_llama", "read_tokenizer"]

Array = np.ndarray[Any, Any]

GROUP = 32
_BITS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}
_CONTROL, _USER_DEFINED = 3, 4

_FACTORS = "rope_freqs.weight"
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def load_gguf(path: Path, *, quantised: bool | None = None) -> tuple[nn.Module, TokenizerWrapper]:
    """A GGUF file of Llama's architecture as mlx-lm's own model, and its tokenizer.

    A weight is w = s·q + b in groups of 32, q an unsigned integer. Dequantised, s and b become fp32 first: in fp16, as
    they are stored, each weight is rounded again, and logits move by .1. llama.cpp stores the rows of q and k so that
    rotary positions turn neighbours, where other checkpoints turn halves: hence ``rope_traditional``.

    Args:
        quantised: keep the weights as they are stored, or dequantise them to fp32. None keeps them on a GPU, in fp16,
            and dequantises on the CPU, where MLX's quantised products are slow, and in fp16 a hundred times slower.

    Raises:
        WotdError: truncated or damaged, another architecture, or a type of storage or tokenizer that isn't read here.
    """
    header = read_header(path)
    config = llama_config(header)
    tokenizer = read_tokenizer(header)
    return read_llama(header, config, not cpu_path() if quantised is None else quantised), tokenizer


def llama_config(header: Header) -> dict[str, Any]:
    """The header as mlx-lm's configuration of a Llama.

    Raises:
        WotdError: another architecture, a form of Llama's that mlx-lm's class doesn't compute, or a value that is
            missing, of the wrong kind or out of range.
    """
    path = header.path
    if (architecture := header.get("general.architecture")) != "llama":
        raise WotdError(
            f"{path} is a model of architecture {short(architecture)}; expected llama: "
            "take the model as an mlx-lm folder or hub id instead"
        )
    heads, width = header.need("llama.attention.head_count"), header.need("llama.embedding_length")
    head = header.get("llama.attention.key_length", width // heads)
    scaling = header.get("llama.rope.scaling.type", "none")
    refused = {
        "llama.expert_count": header.get("llama.expert_count", 0) > 0,
        "llama.rope.dimension_count": header.get("llama.rope.dimension_count", head) != head,
        "llama.rope.scaling.type": scaling not in ("none", "linear"),
    }
    if wrong := [key for key, bad in refused.items() if bad]:
        told = ", ".join(f"{key} = {short(header.metadata[key])}" for key in wrong)
        raise WotdError(f"{path} has {told}; expected a dense Llama with plain or linear rotary positions")
    keys = header.get("llama.attention.head_count_kv", heads)
    if heads % keys or head % 2 or not head:
        raise WotdError(
            f"{path} has {heads} heads of {head} numbers, {keys} of keys; expected heads of an even width, and a whole "
            "number of them for each of keys"
        )
    config = {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": header.need("llama.block_count"),
        "intermediate_size": header.need("llama.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "head_dim": head,
        "rms_norm_eps": header.need("llama.attention.layer_norm_rms_epsilon"),
        "vocab_size": _rows(header),
        "max_position_embeddings": header.need("llama.context_length"),
        "rope_theta": header.get("llama.rope.freq_base", 10000.0),
        "rope_traditional": True,
        "tie_word_embeddings": "output.weight" not in header.tensors,
    }
    if scaling == "linear":
        config["rope_scaling"] = {"type": "linear", "factor": header.need("llama.rope.scaling.factor")}
    _check_shapes(header, config)
    return config


def _rows(header: Header) -> int:
    """How many tokens the model has a row for."""
    if "token_embd.weight" not in header.tensors:
        raise WotdError(f"{header.path} has no token_embd.weight; expected a Llama with its token table")
    return header.tensors["token_embd.weight"].shape[0]


def _check_shapes(header: Header, config: dict[str, Any]) -> None:
    """Before anything is made of a size that a damaged file tells."""
    width, inner, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    q, kv = (config["head_dim"] * config[f"num_{of}_heads"] for of in ("attention", "key_value"))
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (q, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, q),
        "ffn_norm": (width,),
        "ffn_gate": (inner, width),
        "ffn_up": (inner, width),
        "ffn_down": (width, inner),
    }
    for name, tensor in header.tensors.items():
        if len(tensor.shape) < 2 and tensor.kind in _BITS:
            raise WotdError(f"{header.path} has {short(name)} as {tensor.kind}; expected F32 or F16")
    found = {name: tensor.shape for name, tensor in header.tensors.items()}
    layers = min(config["num_hidden_layers"], len(found))  # one more than there are tensors is missing in any case
    want = {f"blk.{i}.{part}.weight": shape for i in range(layers) for part, shape in shapes.items()}
    want |= {"token_embd.weight": (V, width), "output_norm.weight": (width,)}
    optional = {"output.weight": (V, width), _FACTORS: (config["head_dim"] // 2,)}
    want |= {name: shape for name, shape in optional.items() if name in found}
    if wrong := sorted(name for name in want.keys() | found.keys() if want.get(name) != found.get(name)):
        name = wrong[0]
        raise WotdError(
            f"{header.path} has tensors that don't fit a Llama of {config['num_hidden_layers']} layers, "
            f"such as {short(name)} {found.get(name, 'missing')}, expected {want.get(name, 'none')}"
        )


def read_llama(header: Header, config: dict[str, Any], quantised: bool) -> nn.Module:
    """mlx-lm's Llama of that configuration with the file's weights; see :func:`load_gguf`."""
    from mlx_lm.models import llama

    model = llama.Model(llama.ModelArgs.from_dict(config))
    around = mx.float32 if cpu_path() else mx.float16
    weights: list[tuple[str, mx.array]] = []
    bits: dict[str, int] = {}
    factors = None
    try:
        with np.errstate(invalid="ignore"), header.path.open("rb") as file:
            for name, tensor in header.tensors.items():
                parts = _stored(file, tensor)
                if not all(np.isfinite(part).all() for part in parts.values() if part.dtype.kind == "f"):
                    raise WotdError(f"{header.path} is damaged: its weights hold infinities; fetch it again")
                if name == _FACTORS:
                    factors = mx.array(parts["weight"].astype(np.float32))
                    continue
                layer = _mlx_name(name)
                if tensor.kind in _BITS and quantised:
                    bits[layer] = _BITS[tensor.kind]
                    parts["weight"] = _packed(parts["weight"], bits[layer])
                elif tensor.kind in _BITS:
                    parts = {"weight": _dequantised(**parts)}
                for part, value in parts.items():
                    array = mx.array(value.reshape(*tensor.shape[:-1], -1))
                    weights.append((f"{layer}.{part}", array if array.dtype == mx.uint32 else array.astype(around)))
    except OSError as error:
        raise WotdError(f"{header.path} can't be read: {error.strerror or error}; expected a GGUF file") from error
    if bits:
        nn.quantize(
            model, GROUP, class_predicate=lambda at, _: {"group_size": GROUP, "bits": bits[at]} if at in bits else False
        )
    model.load_weights(weights)
    if factors is not None:
        _scale_rope(model, config, factors)
    mx.eval(model.parameters())
    model.eval()
    return model


def _stored(file: BinaryIO, tensor: Tensor) -> dict[str, Array]:
    """A tensor's numbers; or of its blocks the bytes that hold unsigned integers, the scales and the biases (N, 1)."""
    file.seek(tensor.begin)
    raw = np.frombuffer(file.read(tensor.size), np.uint8)
    if raw.size != tensor.size:
        raise WotdError(f"{file.name} was truncated while it was read; fetch it again")
    if tensor.kind not in _BITS:
        return {"weight": raw.view("<f4" if tensor.kind == "F32" else "<f2")}
    blocks = raw.reshape(-1, SIZES[tensor.kind][1])
    s = blocks[:, :2].copy().view("<f2")
    if tensor.kind == "Q8_0":
        return {"weight": blocks[:, 2:] ^ 128, "scales": s, "biases": -128 * s.astype(np.float32)}
    b = blocks[:, 2:4].copy().view("<f2") if tensor.kind == "Q4_1" else -8 * s.astype(np.float32)
    return {"weight": blocks[:, -16:].copy(), "scales": s, "biases": b}


def _dequantised(weight: Array, scales: Array, biases: Array) -> Array:
    """w = s·q + b in fp32. Of 16 bytes, the low halves are the first 16 integers, the high ones the others."""
    values = np.empty((len(weight), GROUP), np.float32)
    scales, biases = scales.astype(np.float32), biases.astype(np.float32)
    for start in range(0, len(weight), 4096):  # what stays in the processor's cache is computed in half the time
        rows = slice(start, start + 4096)
        q, w = weight[rows], values[rows]
        if q.shape[1] < GROUP:
            w[:, :16], w[:, 16:] = q & 15, q >> 4
        else:
            w[:] = q
        w *= scales[rows]
        w += biases[rows]
    return values


def _packed(weight: Array, bits: int) -> Array:
    """The same integers as MLX has them, 32 bits at a time, the first in the lowest."""
    if bits == 4:
        two = weight.view("<u2")  # integers 2j and 16 + 2j in the lower byte, those after them in the upper
        low, high = two & 0x0F | two >> 4 & 0xF0, two >> 4 & 0x0F | two >> 8 & 0xF0
        weight = np.concatenate([low, high], axis=1).astype(np.uint8)
    return weight.view("<u4")


def _mlx_name(name: str) -> str:
    """llama.cpp's name of a weight as the layer of mlx-lm's that has it."""
    block, _, part = name.removesuffix(".weight").rpartition(".")
    return f"model.layers.{block.removeprefix('blk.')}.{_LAYER[part]}" if block else _TOP[part]


def _scale_rope(model: nn.Module, config: dict[str, Any], factors: mx.array) -> None:
    """Llama 3's rotary positions: the file gives by how much each wavelength is stretched."""
    from mlx_lm.models.rope_utils import Llama3RoPE

    dims, base = config["head_dim"], config["rope_theta"]
    rope = Llama3RoPE(dims, config["max_position_embeddings"], True, base, {"factor": 1.0})
    rope._freqs = base ** (mx.arange(0, dims, 2) / dims) * factors.astype(mx.float32)
    for layer in model.layers:
        layer.self_attn.rope = rope


def read_tokenizer(header: Header) -> TokenizerWrapper:
    """The file's byte-level BPE, with its special tokens and chat template, as mlx-lm's tokenizer.

    Raises:
        WotdError: another kind of tokenizer, one whose rule for splitting text into words isn't known here, or parts
            that don't fit each other.
    """
    from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer, TokenizerWrapper
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    path = header.path
    if (kind := header.get("tokenizer.ggml.model")) != "gpt2":
        raise WotdError(f"{path} has a tokenizer of kind {short(kind)}; expected gpt2, byte-level BPE")
    byte_level = pre_tokenizers.ByteLevel
    plain, bytes_only = byte_level(add_prefix_space=False), byte_level(add_prefix_space=False, use_regex=False)
    rules = {
        "gpt-2": plain,
        "default": plain,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain]),
        "llama-bpe": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_LLAMA3_WORDS), "isolated"), bytes_only]),
    }
    if (rule := header.get("tokenizer.ggml.pre", "default")) not in rules:
        raise WotdError(f"{path} splits text by the rule {short(rule)}; expected one of {', '.join(rules)}")
    tokens = header.need("tokenizer.ggml.tokens")
    if len(tokens) > _rows(header):
        raise WotdError(f"{path} has {len(tokens)} tokens, more than rows in token_embd; fetch it again")
    kinds = header.get("tokenizer.ggml.token_type", [1] * len(tokens))
    if len(set(tokens)) < len(tokens) or len(kinds) != len(tokens):
        raise WotdError(f"{path} has tokens twice, or {len(kinds)} types for {len(tokens)} tokens; fetch it again")
    pairs = [tuple(merge.split(" ")) for merge in header.need("tokenizer.ggml.merges")]
    if odd := [pair for pair in pairs if len(pair) != 2]:
        raise WotdError(f"{path} has a merge of {short(' '.join(odd[0]))}; expected two tokens: fetch it again")
    special: dict[str, str] = {}
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        if (number := header.get(f"tokenizer.ggml.{key}_token_id")) is None:
            continue
        if number >= len(tokens):
            raise WotdError(f"{path} has {key}_token_id {number}; expected one of its {len(tokens)} tokens")
        special[f"{role}_token"] = tokens[number]
    try:
        bpe = models.BPE({token: i for i, token in enumerate(tokens)}, pairs, ignore_merges=rule == "llama-bpe")
        tokenizer = Tokenizer(bpe)
        tokenizer.pre_tokenizer, tokenizer.decoder = rules[rule], decoders.ByteLevel()
        for number, hidden in ((_CONTROL, True), (_USER_DEFINED, False)):
            texts = [token for token, of in zip(tokens, kinds, strict=True) if of == number]
            tokenizer.add_tokens([AddedToken(text, special=hidden, normalized=False) for text in texts])
        if header.get("tokenizer.ggml.add_bos_token", rule == "llama-bpe") and (bos := special.get("bos_token")):
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokens.index(bos))]
            )
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, model_max_length=header.need("llama.context_length"), **special
        )
    except Exception as error:  # tokenizers raises no narrower class
        told = line_of(error)
        raise WotdError(f"{path}: its merges or special tokens don't fit its tokens: {told}; fetch it again") from error
    if (template := header.get("tokenizer.chat_template")) is not None:
        fast.chat_template = template
    return TokenizerWrapper(fast, BPEStreamingDetokenizer)
