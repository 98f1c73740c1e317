"""Reading packages: compressed weights, broken files, wrong inputs, operations without an implementation."""

from __future__ import annotations

import json
import shutil

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobWriter
from coremltools.proto import Model_pb2

from converters.coreml.executor import Executor, load_package
from converters.coreml.executor.blob import BlobFile
from tests.converters.saved import build
from tests.tolerances import close

RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(size=(48, 64)).astype(np.float32)
KERNEL = RNG.normal(size=(16, 48, 3)).astype(np.float32)
INPUTS = {"x": RNG.normal(size=(2, 5, 64)).astype(np.float32)}


def layers(x):
    """A linear layer and a convolution, with weights large enough to be compressed."""
    y = Builder.linear(x=x, weight=WEIGHT, name="first")
    return Builder.conv(x=Builder.transpose(x=y, perm=[0, 2, 1]), weight=KERNEL, pad_type="valid", name="second")


def model(target, half=False):
    program = Builder.program(input_specs=[Builder.TensorSpec(shape=(2, 5, 64))], opset_version=target)(layers)
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
    )


def linear(**settings):
    settings = {"mode": "linear_symmetric", "weight_threshold": 0, **settings}
    config = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(**settings))
    return lambda m: cto.linear_quantize_weights(m, config)


def palette(bits, **settings):
    settings = {"mode": "uniform", "nbits": bits, "weight_threshold": 0, **settings}
    config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(**settings))
    return lambda m: cto.palettize_weights(m, config)


def pruned(m):
    config = cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=0)
    return cto.prune_weights(m, cto.OptimizationConfig(global_config=config))


def pruned_then(compress, joint):
    return lambda m: joint(pruned(m), compress)


def joint_linear(m, settings):
    config = cto.OptimizationConfig(global_config=cto.OpLinearQuantizerConfig(weight_threshold=0, **settings))
    return cto.linear_quantize_weights(m, config, joint_compression=True)


def joint_palette(m, settings):
    config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(weight_threshold=0, **settings))
    return cto.palettize_weights(m, config, joint_compression=True)


IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18
COMPRESSIONS = {
    "int8": (IOS16, linear(), "constexpr_affine_dequantize"),
    "uint8": (IOS17, linear(mode="linear", dtype="uint8"), "constexpr_affine_dequantize"),
    **{f"palette{n}": (IOS16, palette(n), "constexpr_lut_to_dense") for n in (1, 2, 4, 6, 8)},
    "sparse": (IOS16, pruned, "constexpr_sparse_to_dense"),
    "int4_blocks": (
        IOS18,
        linear(dtype="int4", granularity="per_block", block_size=16),
        "constexpr_blockwise_shift_scale",
    ),
    "uint4_channels": (IOS18, linear(mode="linear", dtype="uint4"), "constexpr_blockwise_shift_scale"),
    **{f"palette{n}_ios18": (IOS18, palette(n), "constexpr_lut_to_dense") for n in (1, 2, 3, 4, 6, 8)},
    "palette4_groups": (
        IOS18,
        palette(4, granularity="per_grouped_channel", group_size=8),
        "constexpr_lut_to_dense",
    ),
    "sparse_ios18": (IOS18, pruned, "constexpr_sparse_to_dense"),
    "sparse_int8": (
        IOS18,
        pruned_then({"mode": "linear_symmetric"}, joint_linear),
        "constexpr_sparse_blockwise_shift_scale",
    ),
    "sparse_palette4": (IOS18, pruned_then({"mode": "uniform", "nbits": 4}, joint_palette), "constexpr_lut_to_sparse"),
}


HALVES = {"int8", "palette6", "sparse", "int4_blocks", "palette4_groups", "sparse_int8"}


@pytest.mark.parametrize(("name", "half"), [*((n, False) for n in COMPRESSIONS), *((n, True) for n in sorted(HALVES))])
def test_compressed_weights(name, half, tmp_path):
    """What coremltools' own decompression gives, weight by weight and in the end."""
    target, compress, wanted = COMPRESSIONS[name]
    small = compress(model(target, half))
    small.save(str(tmp_path / "small.mlpackage"))
    cto.decompress_weights(small).save(str(tmp_path / "large.mlpackage"))
    got, want = Executor(tmp_path / "small.mlpackage"), Executor(tmp_path / "large.mlpackage")
    assert got.op_counts()[wanted] == 2
    for name_, expected in want(INPUTS).items():
        close(got(INPUTS)[name_], expected, "exact")
    exact = Executor(_saved(model(target, half), tmp_path / "plain.mlpackage"))(INPUTS)
    for name_, expected in exact.items():
        assert not np.array_equal(got(INPUTS)[name_], expected)


def _saved(made, path):
    made.save(str(path))
    return path


def test_dequantisation_by_hand(tmp_path):
    """int8 per channel is round(w / s) s with s = max|w| / 127."""
    path = _saved(linear()(model(IOS16)), tmp_path / "m.mlpackage")
    scale = np.abs(WEIGHT).max(axis=1, keepdims=True) / 127
    values = Executor(path).trace(INPUTS)
    found = [v for v in values.values() if v.shape == WEIGHT.shape]
    close(found[0], np.rint(WEIGHT / scale) * scale, "executor")


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6])
def test_packed_integers(bits, tmp_path):
    from coremltools.converters.mil.mil import types

    kind = types.nptype_from_builtin(getattr(types, f"uint{bits}"))
    numbers = RNG.integers(0, 2**bits, 37)
    writer = BlobWriter(str(tmp_path / "w.bin"))
    offset = getattr(writer, f"write_uint{bits}_data")(numbers.astype(kind))
    del writer
    close(BlobFile(tmp_path / "w.bin").read(offset, f"uint{bits}", (37,)), numbers, "exact")


@pytest.fixture
def package(tmp_path):
    return build(tmp_path / "m.mlpackage", layers, INPUTS)


def spec_of(package):
    return next((package / "Data").rglob("model.mlmodel"))


def test_what_it_says_of_itself(package):
    executor = Executor(package)
    assert executor.inputs == {"x": ((2, 5, 64), "fp32")}
    assert executor.outputs == {"second": ((2, 16, 3), "fp32")}
    counts = executor.op_counts()
    assert {k: v for k, v in counts.items() if k != "const"} == {"linear": 1, "transpose": 1, "conv": 1}
    loaded = load_package(package)
    assert (loaded.opset_version, loaded.functions) == (7, ("main",))
    first = INPUTS["x"] @ WEIGHT.T
    close(executor.trace(INPUTS)["first"], first, "executor")


def test_all_wrong_inputs_at_once(package):
    with pytest.raises(ValueError, match="wrong inputs") as caught:
        Executor(package)({"y": 1})
    assert "y: unknown; the inputs are ['x']" in str(caught.value)
    assert "x: missing; expected x: fp32 (2, 5, 64)" in str(caught.value)
    with pytest.raises(ValueError, match=r"x: got the shape \(2, 5\), expected x: fp32 \(2, 5, 64\)"):
        Executor(package)({"x": np.zeros((2, 5))})
    with pytest.raises(ValueError, match=r"x: got dtype <U1"):
        Executor(package)({"x": np.full((2, 5, 64), "a")})


def test_integers_must_fit(tmp_path):
    ids = np.array([1, 2], np.int32)
    executor = Executor(build(tmp_path / "m.mlpackage", lambda i: Builder.add(x=i, y=np.int32(1)), {"i": ids}))
    close(executor({"i": np.array([1.0, 2.0])})["add_0"], ids + 1, "exact")
    for wrong in ([1.5, 2], [1, 2**40]):
        with pytest.raises(ValueError, match="i: got numbers that int32 cannot hold"):
            executor({"i": np.array(wrong)})


def test_unknown_function(package):
    with pytest.raises(ValueError, match=r"no function 'other'; its functions are \['main'\]"):
        Executor(package, "other")


def test_chosen_function(tmp_path):
    """Two functions of one package, which share their weights."""
    build(tmp_path / "a.mlpackage", layers, INPUTS, IOS18)
    build(tmp_path / "b.mlpackage", lambda x: Builder.mul(x=layers(x), y=np.float32(2)), INPUTS, IOS18)
    both = ct.utils.MultiFunctionDescriptor()
    both.add_function(str(tmp_path / "a.mlpackage"), "main", "one")
    both.add_function(str(tmp_path / "b.mlpackage"), "main", "two")
    both.default_function_name = "one"
    ct.utils.save_multifunction(both, str(tmp_path / "both.mlpackage"))
    one, two = (Executor(tmp_path / "both.mlpackage", f)(INPUTS) for f in ("one", "two"))
    close(2 * next(iter(one.values())), next(iter(two.values())), "exact")


def test_not_a_package(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such package"):
        Executor(tmp_path / "none.mlpackage")
    with pytest.raises(ValueError, match=r"not a Core ML package: it is no folder with a Manifest.json"):
        Executor(tmp_path)
    (tmp_path / "Manifest.json").write_text(json.dumps({"itemInfoEntries": {}}))
    with pytest.raises(ValueError, match="names no root model"):
        Executor(tmp_path)


def test_missing_model(package):
    spec_of(package).unlink()
    with pytest.raises(FileNotFoundError, match="the manifest names this model, but it is missing"):
        Executor(package)


def test_truncated_model(package):
    file = spec_of(package)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a Core ML model, or truncated"):
        Executor(package)


def test_missing_weights(package):
    shutil.rmtree(spec_of(package).parent / "weights")
    with pytest.raises(FileNotFoundError, match="the program names this weight file, but it is missing"):
        Executor(package)


@pytest.mark.parametrize("kept", [10, 100, -4])
def test_truncated_weights(package, kept):
    file = spec_of(package).parent / "weights" / "weight.bin"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="truncated"):
        Executor(package)


def test_damaged_weights(package):
    file = spec_of(package).parent / "weights" / "weight.bin"
    raw = bytearray(file.read_bytes())
    raw[64:68] = b"\0\0\0\0"
    file.write_bytes(raw)
    with pytest.raises(ValueError, match="no metadata: got 0x0, expected 0xdeadbeef"):
        Executor(package)
    raw[4] = 9
    file.write_bytes(raw)
    with pytest.raises(ValueError, match="blob storage version 9; only version 2 is known"):
        Executor(package)


def change(package, edit):
    spec = Model_pb2.Model()
    spec.ParseFromString(spec_of(package).read_bytes())
    edit(spec)
    spec_of(package).write_bytes(spec.SerializeToString())


def test_neural_network_is_refused(package):
    change(package, lambda spec: spec.neuralNetwork.layers.add())
    with pytest.raises(ValueError, match="a model of type neuralNetwork; only mlProgram can be executed"):
        Executor(package)


def test_unknown_versions(package):
    change(package, lambda spec: setattr(spec, "specificationVersion", 99))
    with pytest.raises(ValueError, match="specification version 99; known versions of an ML program are 6 to"):
        Executor(package)
    change(package, lambda spec: (setattr(spec, "specificationVersion", 8), setattr(spec.mlProgram, "version", 2)))
    with pytest.raises(ValueError, match="ML program version 2; only 1 is known"):
        Executor(package)


def test_weights_elsewhere_are_refused(package):
    def edit(spec):
        for operation in spec.mlProgram.functions["main"].block_specializations["CoreML7"].operations:
            if operation.attributes["val"].HasField("blobFileValue"):
                operation.attributes["val"].blobFileValue.fileName = "@model_path/../weight.bin"

    change(package, edit)
    with pytest.raises(ValueError, match=r"'@model_path/\.\./weight\.bin' is not in the package"):
        Executor(package)


def test_all_unimplemented_operations_at_once(package):
    def edit(spec):
        operations = spec.mlProgram.functions["main"].block_specializations["CoreML7"].operations
        for operation in operations:
            if operation.type in {"linear", "conv"}:
                operation.type = f"x_{operation.type}"

    change(package, edit)
    with pytest.raises(NotImplementedError, match=r"no implementation of x_conv ×1, x_linear ×1; \d+ operations"):
        Executor(package)


def test_wrong_declared_shape(package):
    def edit(spec):
        for operation in spec.mlProgram.functions["main"].block_specializations["CoreML7"].operations:
            if operation.type == "linear":
                operation.outputs[0].type.tensorType.dimensions[1].constant.size = 4

    change(package, edit)
    message = r"linear 'first': computed the shape \(2, 5, 48\), but the program declares first: fp32 \(2, 4, 48\)"
    with pytest.raises(ValueError, match=message):
        Executor(package)(INPUTS)


def test_flexible_shapes(tmp_path):
    from coremltools.converters.mil.mil import get_new_symbol

    spec = Builder.TensorSpec(shape=(get_new_symbol(), 64))
    program = Builder.program(input_specs=[spec], opset_version=IOS17)(
        lambda x: Builder.linear(x=x, weight=WEIGHT, name="y")
    )
    made = ct.convert(
        program,
        inputs=[ct.TensorType(name="x", shape=(ct.RangeDim(1, 9), 64))],
        convert_to="mlprogram",
        minimum_deployment_target=IOS17,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    executor = Executor(_saved(made, tmp_path / "m.mlpackage"))
    assert executor.inputs == {"x": ((None, 64), "fp32")}
    for count in (1, 7):
        x = RNG.normal(size=(count, 64)).astype(np.float32)
        close(executor({"x": x})["y"], x @ WEIGHT.T, "executor")
