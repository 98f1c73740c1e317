"""``.pt`` checkpoints into our models and back, bit for bit, and refused by name where they don't fit."""

from __future__ import annotations

from importlib import import_module

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm import build, preset

torch = pytest.importorskip("torch")
checkpoint = import_module("converters.torch.checkpoint")

pytestmark = pytest.mark.parity

DIMS = 24
NAMES = ("lstm", "distilgpt2", "mamba2")
TYPES = {"float32": torch.int32, "float16": torch.int16, "bfloat16": torch.int16}


def config(name, **changes):
    return preset(name, "tiny", dims=DIMS, **changes)


def reference_of(name, kind="float32", **changes):
    torch.manual_seed(0)
    return import_module(f"converters.torch.{name}").Reference(config(name, **changes)).eval().to(getattr(torch, kind))


@pytest.fixture
def lstm(tmp_path):
    """(file, what it holds)"""
    state = reference_of("lstm").state_dict()
    torch.save(state, tmp_path / "lstm.pt")
    return tmp_path / "lstm.pt", state


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_goes_both_ways_bit_for_bit(name, kind, tmp_path):
    reference, there, back = reference_of(name, kind), tmp_path / "there.pt", tmp_path / "new" / "back.pt"
    wanted = reference.state_dict()
    # Bits that arithmetic would not keep: a signalling NaN, the smallest number, minus zero.
    wanted["head.bias"].view(TYPES[kind])[:3] = torch.tensor([0x7F81, 1, -(2**15)], dtype=TYPES[kind])
    torch.save(wanted, there)
    ours = checkpoint.read_pt(name, there, config(name))
    assert {weight.dtype for weight in ours.values()} == {getattr(mx, kind)}
    checkpoint.write_pt(name, ours, back, config(name))
    found = torch.load(back, weights_only=True)
    assert found.keys() == wanted.keys()
    for key, weight in wanted.items():
        assert found[key].dtype == weight.dtype
        assert torch.equal(found[key].view(TYPES[kind]), weight.view(TYPES[kind])), key
    assert [file.name for file in back.parent.iterdir()] == ["back.pt"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_reads_a_checkpoint_is_the_reference(name, tmp_path):
    reference, x = reference_of(name), np.random.default_rng(0).normal(size=(2, 9, DIMS)).astype("float32")
    torch.save(reference.state_dict(), tmp_path / "reference.pt")
    model = build(name, config(name)).eval()
    model.load_weights(list(checkpoint.read_pt(name, tmp_path / "reference.pt", config(name)).items()), strict=True)
    with torch.no_grad():
        close(model(mx.array(x))[0], reference(torch.from_numpy(x)).numpy(), "reference")

    mx.random.seed(1)
    model = build(name, config(name)).eval()
    checkpoint.write_pt(name, dict(tree_flatten(model.parameters())), tmp_path / "ours.pt", config(name))
    reference.load_state_dict(torch.load(tmp_path / "ours.pt", weights_only=True))
    with torch.no_grad():
        close(model(mx.array(x))[0], reference(torch.from_numpy(x)).numpy(), "reference")


def test_weights_of_several_types_keep_each_its_own(lstm):
    file, state = lstm
    state["embed.weight"] = state["embed.weight"].half()
    torch.save(state, file)
    ours = checkpoint.read_pt("lstm", file, config("lstm"))
    assert ours["embed.weight"].dtype == mx.float16
    assert ours["head.weight"].dtype == mx.float32


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(lstm, kept):
    file, _ = lstm
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept if kept >= 1 else kept * len(whole))])
    with pytest.raises(ValueError, match=r"lstm\.pt can't be read as a checkpoint .* cut short, or holds more"):
        checkpoint.read_pt("lstm", file, config("lstm"))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1, 2], r"holds list; expected names and tensors: torch\.save\(reference\.state_dict\(\), file\)"),
        ({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, "holds a dict of state_dict, epoch; expected names"),
        (torch.nn.Linear(2, 2), "can't be read as a checkpoint .*holds more than tensors"),
        ({}, "doesn't fit lstm at this size: 12 weights differ"),
    ],
)
def test_a_pickle_of_something_else_is_refused(held, message, tmp_path):
    torch.save(held, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=message):
        checkpoint.read_pt("lstm", tmp_path / "odd.pt", config("lstm"))


def test_a_checkpoint_of_another_model_or_size_is_refused(lstm):
    file, state = lstm
    with pytest.raises(ValueError, match=r"doesn't fit gru at this size: 19 weights differ from the 12 expected"):
        checkpoint.read_pt("gru", file, config("gru"))
    with pytest.raises(ValueError, match=r"embed\.weight \(\d+, 24\), expected \(\d+, 25\)"):
        checkpoint.read_pt("lstm", file, preset("lstm", "tiny", dims=DIMS + 1))
    state.pop("head.bias")
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"1 weights differ from the 12 expected, such as head\.bias missing"):
        checkpoint.read_pt("lstm", file, config("lstm"))
    with pytest.raises(FileNotFoundError):
        checkpoint.read_pt("lstm", file.with_name("gone.pt"), config("lstm"))


def test_numbers_of_another_type_are_refused_both_ways(lstm, tmp_path):
    file, state = lstm
    torch.save({key: weight.double() for key, weight in state.items()}, file)
    with pytest.raises(ValueError, match=r"embed\.weight torch\.float64.*; expected float32, float16 or bfloat16"):
        checkpoint.read_pt("lstm", file, config("lstm"))
    with pytest.raises(ValueError, match=r"head\.bias mlx\.core\.int32; expected float32, float16 or bfloat16"):
        checkpoint.write_pt("lstm", {"head.bias": mx.zeros(3, mx.int32)}, tmp_path / "new.pt", config("lstm"))
    with pytest.raises(ValueError, match=r"what was given doesn't fit lstm .* 11 weights differ"):
        checkpoint.write_pt("lstm", {"head.bias": mx.zeros(DIMS)}, tmp_path / "new.pt", config("lstm"))
    assert not (tmp_path / "new.pt").exists()


def test_a_full_disk_leaves_the_old_file(lstm, monkeypatch):
    file, _ = lstm
    weights, before = checkpoint.read_pt("lstm", file, config("lstm")), file.read_bytes()

    def full(state, out):
        out.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write_pt("lstm", weights, file, config("lstm"))
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.iterdir()] == ["lstm.pt"]
