"""Ways from a model to a package, for bench_convert: ours, Apple's own from torch, other people's from MLX."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from converters import coreml

LENGTH = 16

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """One conversion: what, how, and the words to check it on."""

    converter: str
    target: str
    precision: str
    run: Path
    examples: tuple[Inputs, ...]


@dataclass(frozen=True)
class Route:
    """A converter, ready: ``convert`` writes the package, ``source`` computes what it was made from."""

    convert: Callable[[Path], object]
    source: Callable[[Inputs], np.ndarray]
    check: Callable[[Path], object] | None = None


def mlx_source(job: Job) -> Callable[..., Any]:
    """The model in MLX."""
    from mlx import nn

    from wotd_mlx import SemanticEncoder
    from wotd_mlx.embed.bert import Bert, load_bert
    from wotd_mlx.embed.models import find_model, resolve
    from wotd_mlx.export.targets import VectorEncoder
    from wotd_mlx.kernels.choice import taking

    class Text(nn.Module):
        def __init__(self, bert: Bert):
            super().__init__()
            self.bert = bert

        def __call__(self, token_ids: mx.array, mask: mx.array) -> dict[str, mx.array]:
            with taking("gpu"):
                return {"vector": self.bert(token_ids, mask.astype(mx.float32))}

    coder = SemanticEncoder.load(job.run)
    if job.target == "fsq":
        return VectorEncoder(coder.model)
    model = find_model(coder.config.embedding)
    # As published, without the delta of a run's own encoder: torch has the same weights.
    return Text(load_bert(resolve(model), model.pooling)[1])


def evaluated(fn: Callable[..., Any]) -> Callable[[Inputs], np.ndarray]:
    """The only output of an MLX function, on a CPU."""

    def call(example: Inputs) -> np.ndarray:
        with mx.stream(mx.cpu):
            (out,) = fn(**{name: mx.array(array) for name, array in example.items()}).values()
            return np.array(out)

    return call


def ours(job: Job) -> Route:
    """This repository's converter; what it takes includes its check of the saved package on one example."""
    fn = mlx_source(job)
    example = {name: mx.array(array) for name, array in job.examples[0].items()}
    if job.target == "text":
        # As targets.py has them: int32 in the package all the same, but known not to be negative.
        example["token_ids"] = example["token_ids"].astype(mx.uint32)
    return Route(
        lambda package: coreml.convert(fn, example, package, precision=job.precision, force=True),
        evaluated(fn),
        lambda package: coreml.verify(package, fn, example),
    )


def torch_module(job: Job) -> Any:
    """The same model in torch: sentence-transformers' transformer, pooled; or the run's encoder and FSQ."""
    import torch

    from wotd_mlx import SemanticEncoder
    from wotd_mlx.embed.models import find_model, resolve

    coder = SemanticEncoder.load(job.run)

    class Text(torch.nn.Module):
        def __init__(self) -> None:
            from sentence_transformers import SentenceTransformer

            super().__init__()
            folder = str(resolve(find_model(coder.config.embedding)))
            options = {"attn_implementation": "eager"}
            self.model = SentenceTransformer(folder, device="cpu", model_kwargs=options)[0].model

        def forward(self, token_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            real = mask.to(self.model.dtype)
            # Given in four axes; from two, transformers makes it by `new_ones`, which coremltools 9 doesn't know.
            given = mask if job.converter == "torch_plain" else ((1 - real) * -1e4)[:, None, None, :]
            tokens = self.model(input_ids=token_ids, attention_mask=given).last_hidden_state
            pooled = (tokens * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)
            return torch.nn.functional.normalize(pooled, dim=-1)

    class Fsq(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in coder.run.read_arrays(coder.run.model).items():
                self.register_buffer(name.replace(".", "_"), torch.from_numpy(np.array(array)))
            fsq = coder.model.quantizer
            for name in ("_half", "_offset", "_shift", "_unit"):
                self.register_buffer(name, torch.from_numpy(np.array(getattr(fsq, name))))

        def forward(self, vector: torch.Tensor) -> torch.Tensor:
            linear = torch.nn.functional.linear
            x = (vector - self.mean) / self.scale
            hidden = torch.relu(linear(x, self.encoder_up_weight, self.encoder_up_bias))
            z = linear(x, self.encoder_linear_weight)
            z = z + linear(hidden, self.encoder_down_weight, self.encoder_down_bias)
            steps = torch.round(torch.tanh(z + self._shift) * self._half - self._offset)
            return (steps + self._unit).int()

    return (Text() if job.target == "text" else Fsq()).eval()


def accept_small_arrays() -> None:
    """coremltools 9 calls int() on arrays of shape (1,) wherever a traced module reads a size; NumPy 2.4 refuses."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.mil import Builder as mb

    cast = ops._cast

    def fixed(context: Any, node: Any, dtype: type, name: str) -> None:
        x = ops._get_inputs(context, node, expected=1)[0]
        if x.can_be_folded_to_const() and np.ndim(x.val):
            context.add(mb.const(val=dtype(x.val.item()), name=node.name), node.name)
        else:
            cast(context, node, dtype, name)

    ops._cast = fixed


def from_torch(job: Job) -> Route:
    """torch.jit.trace, then coremltools: what there is without a converter from MLX."""
    import coremltools as ct
    import torch

    if job.converter == "torch":
        accept_small_arrays()
    module = torch_module(job)
    types = {name: ct.TensorType(name, array.shape, array.dtype.type) for name, array in job.examples[0].items()}
    half = job.precision == "float16"

    @torch.no_grad()
    def source(example: Inputs) -> np.ndarray:
        out: np.ndarray = module(*map(torch.from_numpy, example.values())).numpy()
        return out

    def convert(package: Path) -> None:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            traced = torch.jit.trace(module, tuple(map(torch.from_numpy, job.examples[0].values())))
        model = ct.convert(
            traced,
            inputs=list(types.values()),
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(package))

    return Route(convert, source)


def rewrite_for_mlx2coreml() -> None:
    """The three things of these models that it refuses, written with what it has."""

    def layer_norm(x: mx.array, weight: mx.array, bias: mx.array, eps: float) -> mx.array:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred * mx.power((centred * centred).mean(axis=-1, keepdims=True) + eps, -0.5) * weight + bias

    mx.fast.layer_norm = layer_norm
    mx.linalg.norm = lambda x, axis, keepdims: mx.power((x * x).sum(axis=axis, keepdims=keepdims), 0.5)
    mx.round = lambda x: mx.floor_divide(x + 0.5, 1.0)


def coreai_torch(job: Job) -> Route:
    """torch.export, then coreai-torch: what there is for Core AI without a converter from MLX."""
    import coreai_torch as other
    import torch

    module = torch_module(job)
    if job.precision == "float16":
        # As its users write it: the model itself is halved, and computes in 16 bits throughout.
        module = module.half()
    given = tuple(map(torch.from_numpy, job.examples[0].values()))
    full = torch_module(job)

    @torch.no_grad()
    def source(example: Inputs) -> np.ndarray:
        out: np.ndarray = full(*map(torch.from_numpy, example.values())).numpy()
        return out

    def convert(package: Path) -> None:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            exported = torch.export.export(module, args=given).run_decompositions(other.get_decomp_table())
            converter = other.TorchConverter(mode=other.TorchConverter.Mode.RELEASE)
            converter.add_exported_program(exported, input_names=list(job.examples[0])).to_coreai().save_asset(package)

    return Route(convert, source)


def mlx2coreai(job: Job) -> Route:
    """mlx2coreai on the same MLX function."""
    import mlx2coreai as other

    fn = mlx_source(job)
    return Route(lambda package: other.convert_mlx_to_coreai(fn, job.examples[0], str(package)), evaluated(fn))


def mlx2coreml(job: Job) -> Route:
    """mlx2coreml on the same MLX function."""
    import mlx2coreml as other

    fn = mlx_source(job)
    source = evaluated(fn)
    if job.converter == "mlx2coreml_rewritten":
        rewrite_for_mlx2coreml()
    half = "fp16" if job.precision == "float16" else "fp32"
    config = other.ConversionConfig(deployment_target="iOS17", compute_precision=half)

    def convert(package: Path) -> None:
        made = other.convert_mlx_to_coreml(lambda **x: next(iter(fn(**x).values())), job.examples[0], config=config)
        made.model.save(str(package))

    return Route(convert, source)


CONVERTERS: dict[str, Callable[[Job], Route]] = {
    "ours": ours,
    "ours_coreai": ours,
    "coreai_torch": coreai_torch,
    "mlx2coreai": mlx2coreai,
    "torch": from_torch,
    "torch_plain": from_torch,
    "mlx2coreml": mlx2coreml,
    "mlx2coreml_rewritten": mlx2coreml,
}
NOTES = {
    "ours": "from MLX; the seconds include the check of the saved package against MLX on one example",
    "ours_coreai": "the same to Core AI, whose own runtime the check asks",
    "coreai_torch": "exported, in float16 with the module halved",
    "mlx2coreai": "from MLX",
    "torch": "traced, with the mask given in four axes, and coremltools' int() of arrays of one number repaired",
    "torch_plain": "traced as it is; once int() is repaired, `new_ones` of transformers' mask has no conversion",
    "mlx2coreml": "from MLX, captured on a CPU, where MLX takes layer norm apart",
    "mlx2coreml_rewritten": "layer norm, vector norm and round written with what it has: mean, power, floor_divide",
}
