"""Learned tokens for codes: texts written with them, tables with them, adapters with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from mlx_lm.utils import load

from tests.language.conftest import SHAPE, load_folder, origin
from tests.language.test_lora import quantised
from tests.tolerances import close
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import AdapterConfig, write_config, write_weights
from wotd_mlx.language.chat import Language
from wotd_mlx.language.head import Head
from wotd_mlx.language.tokens import CodeEmbedding, CodeLinear, CodeTokens, extend
from wotd_mlx.schemas import WotdError

LEVELS = (8, 8, 8, 5)
CODES = CodeTokens(LEVELS)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[2,1,3,0]", "<a2><b1><c3><d0>"),
        ("Words matching pattern [2,1,3,*]:", "Words matching pattern [<a2>,<b1>,<c3>,*]:"),
        ("[{0,2-4},*,0-7,{1,4}]", "[{<a0>,<a2>-<a4>},*,<c0>-<c7>,{<d1>,<d4>}]"),
        ("between [0,0,0,0] and [7,7,7,4]", "between <a0><b0><c0><d0> and <a7><b7><c7><d4>"),
        ("[*,*,*,*]", "[*,*,*,*]"),
        ("[2,1,3]", "[2,1,3]"),
        ("[2,1,3,5]", "[2,1,3,5]"),
        ("[02,1,3,0]", "[02,1,3,0]"),
        ("12 words, [sic]", "12 words, [sic]"),
    ],
)
def test_writing(text: str, written: str) -> None:
    assert CODES.write(text) == written
    assert CODES.read(written) == text


place = st.integers(0, 4).map(str) | st.just("*") | st.just("0-3") | st.just("{1,3}") | st.just("{0,2-4}")


@given(st.lists(st.tuples(st.lists(place, min_size=4, max_size=4), st.sampled_from([" and ", "", ", "])), max_size=3))
def test_reading_gives_back_what_was_written(parts: list[tuple[list[str], str]]) -> None:
    text = "".join(f"[{','.join(places)}]{between}" for places, between in parts)
    written = CODES.write(text)
    assert CODES.read(written) == text
    assert not any(character.isdigit() for character in CODES._single.sub("", written))


def test_large_levels_keep_their_digits() -> None:
    codes = CodeTokens((8, 1000, 5))
    assert len(codes.names) == 13
    assert codes.write("[3,999,4]") == "[<a3>,999,<c4>]"
    assert codes.read("[<a3>,999,<c4>]") == "[3,999,4]"
    for levels in ((1000,), (), (2,) * 27):
        with pytest.raises(WotdError, match="code tokens"):
            CodeTokens(levels)


def test_one_token_a_code(fresh_language: Language) -> None:
    plain = fresh_language.tokenizer
    extended = extend(fresh_language, CODES)
    tokens = extended.tokenizer.encode(CODES.write("[2,1,3,0]"), add_special_tokens=False)
    assert len(tokens) == 4
    assert min(tokens) >= len(plain)
    assert extended.tokenizer.decode(tokens) == "<a2><b1><c3><d0>"
    detokenizer = extended.tokenizer.detokenizer
    for token in tokens:
        detokenizer.add_token(token)
    detokenizer.finalize()
    assert detokenizer.text == "<a2><b1><c3><d0>"
    assert "<a2>" not in plain.get_vocab()
    assert extended.tokenizer.eos_token_ids == plain.eos_token_ids
    with pytest.raises(WotdError, match="already"):
        extend(extended, CODES)


def table(rows: int, seed: int = 0) -> mx.array:
    """Random rows 64 wide."""
    return mx.random.normal((rows, 64), key=mx.random.key(seed))


@pytest.mark.parametrize(("vocabulary", "first"), [(40, 40), (48, 40), (41, 40)])
def test_tables_agree_with_plain_ones(vocabulary: int, first: int) -> None:
    """Embedding, tied output and an output matrix of its own, also where the vocabulary is padded."""
    base, linear = nn.Embedding(vocabulary, 64), nn.Linear(64, vocabulary, bias=False)
    embedding = CodeEmbedding(base, table(5), first)
    plain = embedding.fuse()
    assert plain.weight.shape == (max(vocabulary, first + 5), 64)
    x = mx.array([[0, 39, 40, 44, 3]])
    close(embedding(x), plain(x), "exact")
    hidden = mx.random.normal((2, 3, 64), key=mx.random.key(1))
    close(embedding.as_linear(hidden), plain.as_linear(hidden), "language")
    own = CodeLinear(linear, embedding)
    close(own(hidden), own.fuse()(hidden), "language")
    assert [name for name, _ in tree_flatten(own.parameters())] == ["base.weight"]


def trained_a_little(language: Language, text: str, steps: int = 12) -> tuple[Language, list[float]]:
    """Adapters and code tokens after a few steps on one text, and the losses."""
    from mlx import optimizers as optim

    lora.apply(language.model, LoraConfig(rank=2))
    language = extend(language, CODES)
    tokens = mx.array([language.tokenizer.encode(CODES.write(text), add_special_tokens=False)])
    loss = nn.value_and_grad(
        language.model, lambda t: nn.losses.cross_entropy(language.model(t[:, :-1]), t[:, 1:], reduction="mean")
    )
    optimizer, losses = optim.AdamW(1e-2), []
    for _ in range(steps):
        value, gradients = loss(tokens)
        optimizer.update(language.model, gradients)
        losses.append(float(value))
    return language, losses


@pytest.mark.parametrize("kind", ["plain", "quantised"])
def test_codes_are_learnt_and_nothing_else_of_the_tables(tiny_folder: Path, tmp_path: Path, kind: str) -> None:
    folder = tiny_folder if kind == "plain" else quantised(tiny_folder, tmp_path / "base")
    before = dict(tree_flatten(load_folder(folder).model.parameters()))
    language = load_folder(folder)
    language, losses = trained_a_little(language, "[2,1,3,0] glad, serene [7,0,2,4]")
    assert losses[-1] < 0.7 * losses[0]
    after = dict(tree_flatten(language.model.parameters()))
    for name, weight in before.items():
        same = name.replace("embed_tokens", "embed_tokens.base").replace("_proj.", "_proj.linear.")
        close(after[same].astype(mx.float32), weight.astype(mx.float32), "exact")
    moved = mx.abs(after["model.embed_tokens.codes"] - start_of_codes(folder)).max(axis=1)
    assert float(moved[2]) > 0.01  # <a2>
    cfg = LoraConfig(rank=2, keys=tuple(lora.linear_layers(load_folder(folder).model)))
    config = AdapterConfig.of(cfg, origin(LanguageRecipe(code_tokens=LEVELS)))
    write_weights(tmp_path, lora.trained(language.model), config)
    write_config(tmp_path, config)
    again = lora.read_adapters(load_folder(folder), tmp_path)
    tokens = mx.array([again.tokenizer.encode(CODES.write("[2,1,3,0], calm"))])
    language.model.eval()
    close(again.model(tokens), language.model(tokens), "exact")
    with pytest.raises(ValueError, match="code_tokens: not an adapter parameter"):
        load(str(folder), adapter_path=str(tmp_path))
    # Fused, mlx-lm reads it, tokens and all.
    model, tokenizer = load(str(lora.fuse(again, tmp_path / "fused")))
    assert tokenizer.encode(CODES.write("[2,1,3,0], calm")) == tokens[0].tolist()
    if kind == "plain":
        close(model(tokens), again.model(tokens), "language")


def start_of_codes(folder: Path) -> mx.array:
    """Where the rows of codes begin, (E, D)."""
    return extend(load_folder(folder), CODES).model.model.embed_tokens.codes


def test_a_code_begins_near_its_digit(fresh_language: Language) -> None:
    digits = fresh_language.model.model.embed_tokens(mx.array(fresh_language.tokenizer.encode("2")))[0]
    codes = extend(fresh_language, CODES).model.model.embed_tokens.codes
    cosine = (codes @ digits) / mx.linalg.norm(codes, axis=1) / mx.linalg.norm(digits)
    assert float(cosine[2]) > 0.9
    assert not np.allclose(codes[2], codes[10])  # <a2> and <b2> can be told apart


def test_the_head_knows_the_codes(fresh_language: Language) -> None:
    tokens = mx.array([[5, 9, 386]])
    language = extend(fresh_language, CODES)
    head = Head(language.model)
    assert head.apart
    rows = mx.array([3, 384, 390, 412])
    close(head.logits(head.hidden(tokens), rows), language.model(tokens)[..., rows], "language")


def test_one_table_serves_both_where_the_output_matrix_is_its_own(fresh_language: Language) -> None:
    shape = {**SHAPE, "tie_word_embeddings": False}
    language = replace(fresh_language, model=llama.Model(llama.ModelArgs.from_dict(shape)))
    language.model.freeze()
    language = extend(language, CODES)
    assert list(lora.trained(language.model)) == ["code_tokens"]
    assert Head(language.model).apart
    tokens, row = mx.array([[5, 386, 9]]), language.model.model.embed_tokens
    before = language.model(tokens)
    row.codes = row.codes.at[2].add(1.0)
    after = language.model(tokens)
    assert before.shape[-1] == 384 + len(CODES.names)
    close(after[:, 0, :384], before[:, 0, :384], "exact")  # the first token isn't the code
    assert not np.allclose(after[:, 0, 386], before[:, 0, 386])  # but it may be answered with
    assert not np.allclose(after[:, 1:, :384], before[:, 1:, :384])  # and is read
