"""Language models in llama.cpp's file format: Llama's architecture in Q4_0, Q4_1, Q8_0, F16 or F32, and its tokenizer.

The header is read here, though MLX reads it too: MLX and llama.cpp's own Python package trust it, so that a truncated
file ends the process, and that package needs two seconds for it where this needs .2.

Reference:
    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx import backend
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from mlx_lm.tokenizer_utils import TokenizerWrapper

GROUP = 32
# Values in a block, bytes of a block; the other types are there to be named when they are refused.
_SIZES = {"F32": (1, 4), "F16": (1, 2), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q8_0": (32, 34)}
_BITS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}
_TYPES = dict(
    enumerate(
        ("F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
    )
)
_TYPES |= {15: "Q8_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY, _MOST_SIDES = 8, 9, 4
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


@dataclass(frozen=True)
class Tensor:
    """What the header says of a tensor: its shape, rows first, and how it is stored, such as ``Q4_1``."""

    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class Header:
    """A file's metadata and its tensors by llama.cpp's names."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    def need(self, key: str, kind: type[Any] = int, default: Any = None) -> Any:
        """The metadata's value of ``key``: of that kind, there unless it has a default, and above 0 if a number."""
        value = self.metadata.get(key, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise WotdError(f"{self.path}: {key} is {_short(value)} in its metadata; expected {kind.__name__}")
        if kind in (int, float) and not 0 < value < math.inf:
            raise WotdError(f"{self.path}: {key} is {value} in its metadata; expected more than 0")
        return value


def _short(value: object) -> str:
    text = repr(value)
    return "missing" if value is None else text if len(text) < 60 else text[:57] + "…"


class _Reader:
    """Reads little-endian values one after the other; what lies past the end is a ``struct.error``."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def scalars(self, code: str, count: int = 1) -> tuple[Any, ...]:
        width = struct.calcsize(code)
        if count * width > len(self.data) - self.at:
            raise struct.error(f"{count} values at byte {self.at} pass the end")
        values = struct.unpack_from(f"<{count}{code}", self.data, self.at)
        self.at += count * width
        return values

    def one(self, code: str) -> Any:
        return self.scalars(code)[0]

    def string(self) -> str:
        (length,) = struct.unpack_from("<Q", self.data, self.at)
        begin = self.at + 8
        self.at = begin + length
        if self.at > len(self.data):
            raise struct.error(f"a string at byte {begin} passes the end")
        return self.data[begin : self.at].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.one(_SCALARS[kind])
        inner, count = self.one("I"), self.one("Q")
        if inner == _STRING:
            return [self.string() for _ in range(count)]
        return list(self.scalars(_SCALARS[inner], count))


def read_header(path: Path) -> Header:
    """Read a GGUF file's header, and check that every tensor it lists lies inside the file.

    Raises:
        WotdError: no such file, not GGUF, truncated or damaged, or stored in a type that isn't read here.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise WotdError(f"{path} begins with {data[:4]!r}; expected GGUF, a model in llama.cpp's file format")
            return _parse(path, _Reader(data), len(data))
    except OSError as error:
        raise WotdError(f"{path} can't be read: {error.strerror or error}; expected a GGUF file") from error
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as error:  # an empty file is a ValueError
        raise WotdError(
            f"{path} is truncated or damaged ({error}); expected a whole GGUF file: fetch it again"
        ) from error


def _parse(path: Path, read: _Reader, size: int) -> Header:
    read.at = 4
    if (version := read.one("I")) not in (2, 3):
        raise WotdError(f"{path} is GGUF version {version}; expected 2 or 3")
    tensors, values = read.one("Q"), read.one("Q")
    metadata = {}
    for _ in range(values):
        name = read.string()
        metadata[name] = read.value(read.one("I"))
    found: dict[str, Tensor] = {}
    ends: dict[str, int] = {}
    for _ in range(tensors):
        name = read.string()
        sides = read.one("I")
        if not 1 <= sides <= _MOST_SIDES:
            raise ValueError(f"{name!r} has {sides} dimensions")
        shape = tuple(reversed(read.scalars("Q", sides)))
        number, offset = read.one("I"), read.one("Q")
        found[name] = Tensor(shape, _TYPES.get(number, f"type {number}"))
        ends[name] = offset + _bytes(found[name])
    if others := sorted({t.kind for t in found.values()} - _SIZES.keys()):
        raise WotdError(f"{path} stores tensors as {', '.join(others)}; expected {', '.join(_SIZES)}")
    step = metadata.get("general.alignment", 32)
    if not isinstance(step, int) or step <= 0:
        raise ValueError(f"general.alignment is {_short(step)}")
    begin = -(-read.at // step) * step
    if beyond := [name for name, end in ends.items() if begin + end > size]:
        raise WotdError(
            f"{path} is truncated: it holds {size:,} bytes, its header tells of {begin + max(ends.values()):,} "
            f"({len(beyond)} tensors are cut off); fetch it again"
        )
    return Header(path, metadata, found)


def _bytes(tensor: Tensor) -> int:
    values, width = _SIZES.get(tensor.kind, (1, 0))
    count = math.prod(tensor.shape)
    if count % values:
        raise ValueError(f"shape {tensor.shape} is no whole number of {tensor.kind} blocks")
    return count // values * width


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
    return read_llama(header, config, backend.on_cpu() is False if quantised is None else quantised), tokenizer


def llama_config(header: Header) -> dict[str, Any]:
    """The header as mlx-lm's configuration of a Llama.

    Raises:
        WotdError: another architecture, or a form of Llama's that mlx-lm's class doesn't compute.
    """
    path, metadata = header.path, header.metadata
    if (architecture := metadata.get("general.architecture")) != "llama":
        raise WotdError(
            f"{path} is a model of architecture {_short(architecture)}; expected llama: "
            "take the model as an mlx-lm folder or hub id instead"
        )
    heads, width = header.need("llama.attention.head_count"), header.need("llama.embedding_length")
    if "token_embd.weight" not in header.tensors:
        raise WotdError(f"{path} has no token_embd.weight; expected a Llama with its token table")
    head = header.need("llama.attention.key_length", default=width // heads)
    scaling = metadata.get("llama.rope.scaling.type", "none")
    refused = {
        "llama.expert_count": bool(metadata.get("llama.expert_count")),
        "llama.rope.dimension_count": metadata.get("llama.rope.dimension_count", head) != head,
        "llama.rope.scaling.type": scaling not in ("none", "linear"),
    }
    if wrong := [key for key, bad in refused.items() if bad]:
        told = ", ".join(f"{key} = {_short(metadata[key])}" for key in wrong)
        raise WotdError(f"{path} has {told}; expected a dense Llama with plain or linear rotary positions")
    config = {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": header.need("llama.block_count"),
        "intermediate_size": header.need("llama.feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": header.need("llama.attention.head_count_kv", default=heads),
        "head_dim": head,
        "rms_norm_eps": header.need("llama.attention.layer_norm_rms_epsilon", float),
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        "max_position_embeddings": header.need("llama.context_length"),
        "rope_theta": header.need("llama.rope.freq_base", float, 10000.0),
        "rope_traditional": True,
        "tie_word_embeddings": "output.weight" not in header.tensors,
    }
    if scaling == "linear":
        config["rope_scaling"] = {"type": "linear", "factor": header.need("llama.rope.scaling.factor", float)}
    _check_shapes(header, config)
    return config


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
            f"such as {name} {found.get(name, 'missing')}, expected {want.get(name, 'none')}"
        )
    if config["num_attention_heads"] % config["num_key_value_heads"] or config["head_dim"] < 1:
        raise WotdError(
            f"{header.path} has {config['num_attention_heads']} heads for {config['num_key_value_heads']} of keys; "
            "expected a whole number for each"
        )


def read_llama(header: Header, config: dict[str, Any], quantised: bool) -> nn.Module:
    """mlx-lm's Llama of that configuration with the file's weights; see :func:`load_gguf`."""
    from mlx_lm.models import llama

    try:
        stored: Any = mx.load(str(header.path), format="gguf")
    except (RuntimeError, ValueError) as error:
        raise WotdError(f"{header.path} can't be read: {error}; expected a whole GGUF file") from error
    model = llama.Model(llama.ModelArgs.from_dict(config))
    around = mx.float32 if backend.on_cpu() else mx.float16
    weights: list[tuple[str, mx.array]] = []
    bits: dict[str, int] = {}
    finite = []
    for name, tensor in header.tensors.items():
        if name == _FACTORS:
            continue
        kind, layer = tensor.kind, _mlx_name(name)
        parts = {"weight": stored.pop(name)}
        if kind in _BITS:
            stem = name.removesuffix(".weight")
            parts |= {part: stored.pop(f"{stem}.{part}") for part in ("scales", "biases")}
        finite += [mx.isfinite(value).all() for value in parts.values() if value.dtype != mx.uint32]
        if kind in _BITS and quantised:
            bits[layer] = _BITS[kind]
        elif kind in _BITS:
            parts = {"weight": _dequantise(**parts)}
        weights += [
            (f"{layer}.{part}", value if value.dtype == mx.uint32 else value.astype(around))
            for part, value in parts.items()
        ]
    if bits:
        nn.quantize(
            model, GROUP, class_predicate=lambda at, _: {"group_size": GROUP, "bits": bits[at]} if at in bits else False
        )
    model.load_weights(weights)
    if not mx.stack(finite).all().item():
        raise WotdError(f"{header.path} is damaged: its weights hold infinities; fetch it again")
    if _FACTORS in stored:
        _scale_rope(model, config, stored[_FACTORS])
    mx.eval(model.parameters())
    model.eval()
    return model


def _dequantise(weight: mx.array, scales: mx.array, biases: mx.array) -> mx.array:
    """w = s·q + b in fp32, as ``mx.dequantize`` with fp32 scales, which takes two to three times as long on the CPU."""
    q = np.asarray(weight).view(np.uint8)
    rows, groups = scales.shape
    if q.shape[1] < groups * GROUP:  # two to a byte, the first in the low half
        q = np.stack([q & 15, q >> 4], axis=-1)
    values = q.reshape(rows, groups, GROUP).astype(np.float32)
    for part, into in ((scales, np.multiply), (biases, np.add)):
        into(values, np.asarray(part.astype(mx.float32))[..., None], out=values)
    return mx.array(values.reshape(rows, -1))


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
        WotdError: another kind of tokenizer, or one whose rule for splitting text into words isn't known here.
    """
    from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer, TokenizerWrapper
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    path, metadata = header.path, header.metadata
    if (kind := metadata.get("tokenizer.ggml.model")) != "gpt2":
        raise WotdError(f"{path} has a tokenizer of kind {_short(kind)}; expected gpt2, byte-level BPE")
    byte_level = pre_tokenizers.ByteLevel
    plain, bytes_only = byte_level(add_prefix_space=False), byte_level(add_prefix_space=False, use_regex=False)
    rules = {
        "gpt-2": plain,
        "default": plain,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain]),
        "llama-bpe": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_LLAMA3_WORDS), "isolated"), bytes_only]),
    }
    rule = metadata.get("tokenizer.ggml.pre", "default")
    if rule not in rules:
        raise WotdError(f"{path} splits text by the rule {_short(rule)}; expected one of {', '.join(rules)}")
    tokens, merges = header.need("tokenizer.ggml.tokens", list), header.need("tokenizer.ggml.merges", list)
    if len(tokens) > header.tensors["token_embd.weight"].shape[0]:
        raise WotdError(f"{path} has {len(tokens)} tokens, more than rows in token_embd; fetch it again")
    try:
        pairs = [tuple(merge.split(" ", 1)) for merge in merges]
        bpe = models.BPE({token: i for i, token in enumerate(tokens)}, pairs, ignore_merges=rule == "llama-bpe")
    except Exception as error:  # tokenizers raises no narrower class
        raise WotdError(f"{path}: its merges don't fit its tokens: {error}; fetch it again") from error
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer, tokenizer.decoder = rules[rule], decoders.ByteLevel()
    kinds = header.need("tokenizer.ggml.token_type", list, [])
    for number, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        texts = [token for token, of in zip(tokens, kinds, strict=False) if of == number]
        tokenizer.add_tokens([AddedToken(text, special=special, normalized=False) for text in texts])
    named = {
        f"{role}_token": tokens[i]
        for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
        if isinstance(i := metadata.get(f"tokenizer.ggml.{key}_token_id"), int) and 0 <= i < len(tokens)
    }
    if metadata.get("tokenizer.ggml.add_bos_token", rule == "llama-bpe") and "bos_token" in named:
        bos = named["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokens.index(bos))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=header.need("llama.context_length"), **named
    )
    if "tokenizer.chat_template" in metadata:
        fast.chat_template = header.need("tokenizer.chat_template", str)
    return TokenizerWrapper(fast, BPEStreamingDetokenizer)
