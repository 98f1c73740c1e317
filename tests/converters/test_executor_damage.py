"""Damaged packages, and such as ask for more than there is: one line that names package, operation and argument."""

from __future__ import annotations

import json

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from coremltools.proto import MIL_pb2, Model_pb2

from converters.coreml.executor import OPS, Executor, PackageError, load_package
from converters.coreml.executor.registry import Entry
from converters.errors import failure
from converters.front import verify
from tests.converters.saved import build
from tests.tolerances import close

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 6)).astype(np.float32)
WEIGHT = RNG.normal(size=(40, 6)).astype(np.float32)
HUGE = 1 << 40


def program(x):
    """An operation of each sort of argument: tensor, number, text, truth value, several tensors."""
    y = Builder.linear(x=x, weight=WEIGHT, name="product")
    y = Builder.gelu(x=y, mode="EXACT", name="bent")
    y = Builder.concat(values=[y, y], axis=1, name="pair")
    y = Builder.slice_by_index(x=y, begin=[0, 1], end=[2, 9], begin_mask=[True, False], name="part")
    return Builder.reduce_max(x=y, axes=[1], keep_dims=True, name="most")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    package = build(tmp_path_factory.mktemp("whole") / "m.mlpackage", program, {"x": X})
    return {str(f.relative_to(package)): f.read_bytes() for f in package.rglob("*") if f.is_file()}


@pytest.fixture
def package(whole, tmp_path):
    for name, content in whole.items():
        file = tmp_path / "m.mlpackage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "m.mlpackage"


def edit(package, change):
    """Change the program's block in the saved file; ``change`` gets its operations by name, and the block."""
    file = next((package / "Data").rglob("model.mlmodel"))
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    change({o.outputs[0].name: o for o in block.operations}, block)
    file.write_bytes(spec.SerializeToString())


def refused(package, told, inputs=None):
    """The package is refused in one line, which starts with its name."""
    with pytest.raises(PackageError) as caught:
        Executor(package)({"x": X} if inputs is None else inputs)
    text = str(caught.value)
    assert text.startswith(f"{package}: ")
    assert text.isprintable()
    assert told in text
    return caught.value


def test_whole(package):
    got = Executor(package).trace({"x": X})
    close(got["product"], X @ WEIGHT.T, "executor")
    assert got["most"].shape == (2, 1)


MANIFESTS = {
    "deep": "[" * 100_000,
    "no object": "7",
    "no entries": json.dumps({"rootModelIdentifier": "a"}),
    "not text": json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": ["x"]}}}),
    "a list": json.dumps({"rootModelIdentifier": ["a"], "itemInfoEntries": {"a": {"path": "x"}}}),
    **{
        name: json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": path}}})
        for name, path in {
            "long": "a/" * 3000 + "a",
            "long name": "a" * 900,
            "outside": "../../secret",
            "from the root": "/etc/passwd",
            "nothing": "",
            "with a zero": "a\0b",
            "half a character": "\ud800",
        }.items()
    },
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(name, package):
    (package / "Manifest.json").write_text(MANIFESTS[name])
    refused(package, "" if name == "long name" else "Manifest.json names no root model")


def no_value(ops, block):
    ops["bent_mode_0"].attributes["val"].Clear()


def empty_value(ops, block):
    ops["pair_axis_0"].attributes["val"].immediateValue.tensor.ClearField("ints")


def no_text(ops, block):
    ops["bent_mode_0"].attributes["val"].immediateValue.tensor.strings.values.append("x")


def other_field(ops, block):
    tensor = ops["pair_axis_0"].attributes["val"].immediateValue.tensor
    tensor.floats.values.append(1.0)


def other_type(ops, block):
    ops["pair_axis_0"].outputs[0].type.tensorType.dataType = MIL_pb2.FLOAT32


def other_shape(ops, block):
    tensor = ops["product_weight_0"].outputs[0].type.tensorType
    tensor.dimensions[0].constant.size, tensor.dimensions[1].constant.size = 6, 40


def no_size(ops, block):
    ops["product"].outputs[0].type.tensorType.dimensions[0].Clear()


def other_rank(ops, block):
    ops["product"].outputs[0].type.tensorType.rank = 3


def unknown_dtype(ops, block):
    ops["product"].outputs[0].type.tensorType.dataType = 77


def no_argument(ops, block):
    del ops["bent"].inputs["x"]


def unknown_argument(ops, block):
    ops["bent"].inputs["mood"].CopyFrom(ops["bent"].inputs["mode"])


def argument_twice(ops, block):
    arguments = ops["product"].inputs["weight"].arguments
    arguments.add().CopyFrom(arguments[0])


def argument_without_value(ops, block):
    del ops["pair"].inputs["values"].arguments[:]


def text_for_a_number(ops, block):
    ops["pair"].inputs["axis"].CopyFrom(ops["bent"].inputs["mode"])


def vector_for_a_number(ops, block):
    ops["most"].inputs["keep_dims"].CopyFrom(ops["most"].inputs["axes"])


def number_for_a_truth_value(ops, block):
    ops["most"].inputs["keep_dims"].CopyFrom(ops["pair"].inputs["axis"])


def floats_for_integers(ops, block):
    ops["part"].inputs["begin"].CopyFrom(ops["bent"].inputs["x"])


def reads_nothing(ops, block):
    ops["bent"].inputs["x"].arguments[0].name = "nobody"


def reads_what_comes_later(ops, block):
    ops["bent"].inputs["x"].arguments[0].name = "most"


def made_twice(ops, block):
    ops["bent"].outputs[0].name = "product"


def no_outputs(ops, block):
    del block.outputs[:]


def another_operation(ops, block):
    ops["bent"].type = "reshape"


def axis_out_of_range(ops, block):
    ops["pair_axis_0"].attributes["val"].immediateValue.tensor.ints.values[0] = 5


def unknown_mode(ops, block):
    ops["bent_mode_0"].attributes["val"].immediateValue.tensor.strings.values[0] = "a\nb" * 1000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (no_value, "const 'bent_mode_0': expected one output and the attribute val"),
        (empty_value, "const 'pair_axis_0': val: 0 values for the shape ()"),
        (no_text, "const 'bent_mode_0': val: 2 values for the shape ()"),
        (other_field, "const 'pair_axis_0': val: floats in a constant of int32"),
        (other_type, "const 'pair_axis_0': val: got int32 (), expected pair_axis_0: fp32 ()"),
        (other_shape, "const 'product_weight_0': val: got float32 (40, 6), expected product_weight_0: fp32 (6, 40)"),
        (no_size, "'product' has a dimension without a size"),
        (other_rank, "'product' has rank 3 and 2 dimensions"),
        (unknown_dtype, "'product' has the dtype number 77"),
        (no_argument, "gelu 'bent': has the arguments mode; expected x, mode?"),
        (unknown_argument, "gelu 'bent': has the arguments"),
        (argument_twice, "linear 'product': weight: got 2 values, expected a tensor"),
        (argument_without_value, "concat 'pair': values: got 0 values, expected tensors or numbers"),
        (text_for_a_number, "concat 'pair': axis: got EXACT, expected a whole number"),
        (vector_for_a_number, "reduce_max 'most': keep_dims: got int32 (1,), expected true or false"),
        (number_for_a_truth_value, "reduce_max 'most': keep_dims: got 1, expected true or false"),
        (floats_for_integers, "slice_by_index 'part': begin: got product: fp32 (2, 40), expected whole numbers"),
        (reads_nothing, "gelu 'bent': x: reads 'nobody', which nothing before it makes"),
        (reads_what_comes_later, "gelu 'bent': x: reads 'most', which nothing before it makes"),
        (made_twice, "gelu 'product': a second value 'product'"),
        (no_outputs, "no operation defines the outputs that it should have"),
        (another_operation, "reshape 'bent': has the arguments"),
        (axis_out_of_range, "concat 'pair': axis 5 is out of bounds"),
        (unknown_mode, "gelu 'bent': unknown mode 'a\\nba\\nb"),
    ],
)
def test_program(change, told, package):
    edit(package, change)
    error = refused(package, told)
    assert len(str(error)) < len(str(package)) + 400


def test_the_cause_is_chained(package):
    edit(package, axis_out_of_range)
    error = refused(package, "concat 'pair'")
    assert isinstance(error.__cause__, np.exceptions.AxisError)
    assert error.__cause__.__traceback__.tb_next is not None


def test_a_form_without_implementation_is_not_damage(package, monkeypatch):
    def gelu(x, mode="EXACT"):
        raise NotImplementedError(f"mode {mode} is not documented")

    old = OPS["gelu"]
    monkeypatch.setitem(OPS, "gelu", Entry(gelu, False, old.kinds, old.required, None, None, frozenset()))
    with pytest.raises(NotImplementedError, match=r"m\.mlpackage: gelu 'bent': mode EXACT is not documented"):
        Executor(package)({"x": X})


def test_failures_are_one_line_of_bounded_length():
    error = failure("here", KeyError("a\n\x1b[2J" * 1000))
    assert str(error).startswith("here: KeyError: ")
    assert str(error).isprintable()
    assert len(str(error)) < 320
    assert str(failure("here", MemoryError())) == "here: MemoryError: "


def records(package):
    """The weight file, and where its records' metadata begin."""
    file = next((package / "Data").rglob("weight.bin"))
    stored = file.read_bytes()
    return file, bytearray(stored), stored.index(b"\xef\xbe\xad\xde")


@pytest.mark.parametrize("elsewhere", [0, 5, 64, 192, 1 << 62, (1 << 64) - 1])
def test_weights_lie_in_their_record(elsewhere, package):
    file, stored, at = records(package)
    stored[at + 16 : at + 24] = elsewhere.to_bytes(8, "little")
    file.write_bytes(stored)
    refused(
        package, f"const 'product_weight_0': val: weight.bin: record at byte {at}: its data are said to begin at byte"
    )


@pytest.mark.parametrize("name", ["@model_path//etc/passwd", "@model_path", "weights/weight.bin", "@model_path/a\0b"])
def test_weight_files_lie_in_the_package(name, package):
    def change(ops, block):
        ops["product_weight_0"].attributes["val"].blobFileValue.fileName = name

    edit(package, change)
    refused(package, f"const 'product_weight_0': val: its file {name!r} is not in the package")


def test_inputs_that_are_no_arrays(package):
    refused(package, "wrong inputs: x: no array (ValueError); expected x: fp32 (2, 6)", {"x": [[1, 2], [3]]})
    refused(package, "wrong inputs: x: got dtype complex128", {"x": X.astype(complex)})
    refused(package, "wrong inputs: y z: unknown; the inputs are ['x']", {"x": X, "y\nz": X})


def test_another_function_than_the_package(package):
    x = mx.array(X)
    with pytest.raises(PackageError, match=r"expected the outputs \['other'\] of the function's sizes, got \['most'\]"):
        verify(package, lambda x: {"other": x.max(axis=1)}, {"x": x}, engine="reference")
    with pytest.raises(PackageError, match=r"expected the outputs \['most'\] of the function's sizes"):
        verify(package, lambda x: {"most": x}, {"x": x}, engine="reference")


def test_load_package_alone(package):
    edit(package, no_size)
    with pytest.raises(PackageError, match="'product' has a dimension without a size"):
        load_package(package)


# What each makes is told by a constant, which is then damaged: name → program, constant, which of its numbers.
GROWING = {
    "fill": (lambda x: Builder.fill(shape=[2, 3], value=1.0, name="y"), "y_shape_0"),
    "tile": (lambda x: Builder.tile(x=x, reps=[2, 3], name="y"), "y_reps_0"),
    "pad": (lambda x: Builder.pad(x=x, pad=[1, 2, 3, 4], name="y"), "y_pad_0"),
    "range": (lambda x: Builder.range_1d(start=0, end=7, step=1, name="y"), "y_end_0"),
    "one_hot": (
        lambda x: Builder.one_hot(indices=Builder.cast(x=x, dtype="int32"), one_hot_vector_size=4, name="y"),
        "y_one_hot_vector_size_0",
    ),
    "topk": (lambda x: Builder.topk(x=x, k=2, name="y"), "y_k_0"),
    "sliding_windows": (lambda x: Builder.sliding_windows(x=x, axis=1, size=2, name="y"), "y_size_0"),
    "resize": (
        lambda x: Builder.resize_bilinear(
            x=Builder.expand_dims(x=x, axes=[0, 1]), target_size_height=4, target_size_width=4, name="y"
        ),
        "y_target_size_height_0",
    ),
    "upsample": (
        lambda x: Builder.upsample_nearest_neighbor(
            x=Builder.expand_dims(x=x, axes=[0, 1]), scale_factor_height=2, scale_factor_width=2, name="y"
        ),
        "y_scale_factor_height_0",
    ),
    "conv": (
        lambda x: Builder.conv(
            x=Builder.expand_dims(x=x, axes=[0]),
            weight=np.ones((1, 2, 1), np.float32),
            pad_type="custom",
            pad=[1, 1],
            name="y",
        ),
        "y_pad_0",
    ),
    "conv_transpose": (
        lambda x: Builder.conv_transpose(
            x=Builder.expand_dims(x=x, axes=[0]), weight=np.ones((2, 1, 2), np.float32), strides=[2], name="y"
        ),
        "y_strides_0",
    ),
    "pool": (
        lambda x: Builder.max_pool(
            x=Builder.expand_dims(x=x, axes=[0]), kernel_sizes=[2], pad_type="custom", pad=[1, 1], name="y"
        ),
        "y_pad_0",
    ),
    "space_to_batch": (
        lambda x: Builder.space_to_batch(
            x=Builder.expand_dims(x=x, axes=[0, 1]), block_shape=[1, 1], paddings=[[1, 1], [1, 1]], name="y"
        ),
        "y_paddings_0",
    ),
    "local_response_norm": (
        lambda x: Builder.local_response_norm(x=Builder.expand_dims(x=x, axes=[0]), size=2, name="y"),
        "y_size_0",
    ),
    "split": (lambda x: Builder.split(x=x, axis=1, num_splits=2, name="y"), "y_num_splits_0"),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_is_refused_before_it_is_made(name, tmp_path):
    function, constant = GROWING[name]
    package = build(tmp_path / "m.mlpackage", function, {"x": X})
    Executor(package)({"x": X})

    def change(ops, block):
        tensor = ops[constant].attributes["val"].immediateValue.tensor
        values = getattr(tensor, tensor.WhichOneof("value")).values
        # Numbers of 32 bits; a shape of two has 2⁴⁰ elements then.
        values[:] = [(1 << 30) for _ in values]

    edit(package, change)
    refused(package, "would make ")


@pytest.mark.parametrize(
    ("function", "rank", "sides"),
    [
        (lambda x, y: Builder.add(x=x, y=y, name="z"), 2, (0, 1)),
        (lambda x, y: Builder.matmul(x=x, y=y, name="z"), 2, (0, 1)),
        (lambda x, y: Builder.einsum(values=[x, y], equation="nchw,nwhu->nchu", name="z"), 4, (1, 3)),
        (lambda x, y: Builder.gather(x=x, indices=Builder.cast(x=y, dtype="int32"), axis=0, name="z"), 2, (1, 1)),
    ],
)
def test_outer_products_are_refused_before_they_are_made(function, rank, sides, tmp_path):
    """Both inputs, and what is made of them one by one, are told to have 2²⁰ elements, the result to have one."""
    one = np.zeros((1,) * rank, np.float32)
    package = build(tmp_path / "m.mlpackage", function, {"x": one, "y": one})
    file = next((package / "Data").rglob("model.mlmodel"))
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    main = spec.mlProgram.functions["main"]
    (block,) = main.block_specializations.values()
    casts = [o.outputs[0] for o in block.operations if o.type == "cast"]
    for value, side in [*zip(main.inputs, sides, strict=True), *((cast, sides[1]) for cast in casts)]:
        value.type.tensorType.dimensions[side].constant.size = 1 << 20
    file.write_bytes(spec.SerializeToString())
    refused(package, f"would make {1 << 40:,} numbers; expected {1 << 16:,} at most")


def test_a_program_that_declares_too_much_is_refused(package):
    def change(ops, block):
        ops["product"].outputs[0].type.tensorType.dimensions[0].constant.size = HUGE

    edit(package, change)
    refused(
        package, f"linear 'product': the program holds {40 * HUGE + 280:,} numbers; for files of this size expected"
    )


def test_a_weight_may_not_be_held_without_end(tmp_path):
    weight = RNG.normal(size=(500, 6)).astype(np.float32)
    package = build(tmp_path / "m.mlpackage", lambda x: Builder.linear(x=x, weight=weight, name="y"), {"x": X})

    def change(ops, block):
        for number in range(100):
            copy = block.operations.add()
            copy.CopyFrom(ops["y_weight_0"])
            copy.outputs[0].name = f"copy_{number}"

    edit(package, change)
    Executor(package)({"x": X})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("converters.coreml.executor.package.ROOM", 0)
        patch.setattr("converters.coreml.executor.package.ROOM_A_BYTE", 5)
        refused(package, "const 'copy_")


def test_sizes_that_only_a_run_tells(tmp_path):
    shape = np.array([2, 3], np.int32)
    made = ct.convert(
        Builder.program(input_specs=[Builder.TensorSpec(shape=(2,), dtype=ct.converters.mil.mil.types.int32)])(
            lambda s: Builder.fill(shape=s, value=2.0, name="y")
        ),
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    made.save(str(tmp_path / "m.mlpackage"))
    executor = Executor(tmp_path / "m.mlpackage")
    close(executor({"s": shape})["y"], np.full((2, 3), 2.0), "exact")
    with pytest.raises(PackageError, match=r"fill 'y': would make 1,152,921,504,606,846,976 numbers; expected"):
        executor({"s": np.array([1 << 30, 1 << 30], np.int32)})


def test_vectors_of_channels_fit_their_tensor(tmp_path):
    def function(x):
        y = Builder.expand_dims(x=x, axes=[0, 3])
        return Builder.prelu(x=y, alpha=np.ones(2, np.float32), name="y")

    package = build(tmp_path / "m.mlpackage", function, {"x": X})
    Executor(package)({"x": X})

    def change(ops, block):
        value = ops["y_alpha_0"].attributes["val"]
        ops["y_alpha_0"].outputs[0].type.tensorType.dimensions[0].constant.size = 4
        value.type.tensorType.dimensions[0].constant.size = 4
        value.immediateValue.tensor.floats.values[:] = [1.0] * 4

    edit(package, change)
    refused(package, "prelu 'y': cannot reshape array of size 4 into shape (1,2,1,1)")
