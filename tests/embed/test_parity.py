"""The same weights in others' implementations give the same vectors."""

from __future__ import annotations

import random
import sys

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.embed.bert import load_bert
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.models import MINILM, resolve
from wotd_mlx.kernels.choice import taking
from wotd_mlx.schemas import WotdError

pytestmark = pytest.mark.parity

ODD = [
    "",
    " ",
    "\x00",
    "é",
    "e\u0301",
    "日本語のテキスト",
    "😀👩‍👩‍👧",
    "ﬁ ﬂ ß İ",
    "مرحبا",
    "a" * 3000,
    "don't (stop)!? #1 3.14",
]


@pytest.fixture(scope="module")
def folder():
    try:
        return resolve(MINILM, download=False)
    except WotdError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def theirs(folder):
    library = pytest.importorskip("sentence_transformers")
    return library.SentenceTransformer(str(folder), device="cpu")


def texts_of_all_lengths(count: int) -> list[str]:
    """Odd ones, then 1 to 300 words or letters of any script, most of them short."""
    rng = random.Random(0)
    words = [
        "serendipity",
        "moon",
        "the",
        "of",
        "ubiquitous",
        "Ostrich",
        "naïve",
        "42",
        "x",
        "Ωmega",
        "привет",
        "co-op",
    ]
    out = list(ODD)
    while len(out) < count:
        if rng.random() < 0.2:
            out.append(
                "".join(chr(rng.choice([*range(32, 0x500), *range(0x4E00, 0x4E40)])) for _ in range(rng.randint(1, 60)))
            )
        else:
            out.append(" ".join(rng.choices(words, k=rng.choice([1, 1, 1, 2, 3, 5, 8, 13, 30, 120, 300]))))
    return out


def test_minilm_matches_sentence_transformers(theirs):
    texts = texts_of_all_lengths(250)
    tokens = [len(ids) for ids in theirs.tokenizer(texts, truncation=False)["input_ids"]]
    assert min(tokens) == 2
    assert max(tokens) > 256
    got, want = BertEmbedder(MINILM.id).embed(texts), theirs.encode(texts, batch_size=64)
    close(got, want, "embedding")
    assert 1 - np.einsum("nd,nd->n", got, want, dtype=float).min() <= 1e-5


def test_tokens_match_sentence_transformers(theirs):
    texts = texts_of_all_lengths(300)
    want = theirs.tokenizer(texts, truncation=True, max_length=theirs.max_seq_length)["input_ids"]
    assert [e.ids for e in BertEmbedder(MINILM.id).tokenizer.encode_batch(texts)] == want


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("path", ["cpu", "gpu"])
def test_random_weights_match_transformers(checkpoint, pooling, path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    bert = transformers.BertModel.from_pretrained(checkpoint, add_pooling_layer=False).eval()
    rng = np.random.default_rng(0)
    ids = rng.integers(4, 50, (6, 20))
    mask = (np.arange(20) < rng.integers(1, 21, (6, 1))).astype(np.int64)
    with torch.inference_mode():
        hidden = bert(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
    real = torch.from_numpy(mask)[..., None]
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * real).sum(1) / real.sum(1)
    want = torch.nn.functional.normalize(pooled).numpy()
    _, ours = load_bert(checkpoint, pooling)
    with taking(path):
        close(ours(mx.array(ids), mx.array(mask.astype(np.float32))), want, "torch")


def test_torch_beside_us_keeps_its_threads():
    torch = pytest.importorskip("torch")
    assert "wotd_mlx" in sys.modules
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_gradient_matches_transformers(checkpoint, pooling):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    bert = transformers.BertModel.from_pretrained(checkpoint, add_pooling_layer=False).eval()
    rng = np.random.default_rng(0)
    ids, target = rng.integers(4, 50, (6, 20)), rng.normal(size=(6, 32)).astype(np.float32)
    mask = (np.arange(20) < np.array([[20], [1], [7], [13], [20], [2]])).astype(np.float32)
    hidden = bert(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
    weights = torch.from_numpy(mask)[..., None]
    pooled = hidden[:, 0] if pooling == "cls" else (hidden * weights).sum(1) / weights.sum(1)
    (torch.nn.functional.normalize(pooled, dim=1) * torch.from_numpy(target)).sum().backward()
    _, ours = load_bert(checkpoint, pooling)

    def loss(table: mx.array) -> mx.array:
        ours.words.weight = table
        return (ours(mx.array(ids.astype(np.int32)), mx.array(mask)) * mx.array(target)).sum()

    gradient = mx.grad(loss)(mx.array(ours.words.weight))
    close(gradient, bert.embeddings.word_embeddings.weight.grad.numpy(), "torch")
