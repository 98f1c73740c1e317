from types import SimpleNamespace

import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings
from wotd_mlx.lvm.evaluation import decode
from wotd_mlx.lvm.evaluation.decode import NearestConcepts, Vec2Text
from wotd_mlx.schemas import WotdError


def test_the_nearest_sentences_nearest_first():
    data, x = articles(6, 6), embeddings(12)
    # Length means nothing: only direction does.
    found = NearestConcepts(data, x)(np.stack([x[7] * 3, -x[2]]), count=3)
    assert (found[0][0].text, found[0][0].row) == ("sentence 1 of article 1.", 7)
    assert found[0][0].cosine == pytest.approx(1, abs=1e-6)
    want = np.argsort(x @ x[2])[:3]
    assert [concept.row for concept in found[1]] == want.tolist()
    assert len(NearestConcepts(data, x)(x[:1], count=99)[0]) == 12


def test_vectors_of_another_width_or_not_finite():
    nearest = NearestConcepts(articles(6), embeddings(6))
    for dims in (8, 24):
        with pytest.raises(WotdError, match=f"to decode have {dims} numbers, the known sentences' have 16; embed"):
            nearest(embeddings(2, dims=dims))
    wrong = embeddings(2)
    wrong[1, 3] = np.nan
    with pytest.raises(WotdError, match="embedding 1 of 2 is not finite"):
        nearest(wrong)
    with pytest.raises(WotdError, match=r"expected float32 of shape \(6, D\)"):
        NearestConcepts(articles(6), embeddings(5))


def test_vec2text_for_an_embedding_without_a_corrector():
    with pytest.raises(WotdError, match=r"no corrector for 'sentence-transformers/all-MiniLM-L6-v2'; expected one of"):
        Vec2Text("sentence-transformers/all-MiniLM-L6-v2")


def test_vec2text_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(decode, "find_spec", lambda name: None)
    with pytest.raises(WotdError, match="pip install vec2text"):
        Vec2Text("sentence-transformers/gtr-t5-base")


@pytest.mark.parametrize(
    ("embedding", "corrector"),
    [
        ("text-embedding-ada-002", "own text-embedding-ada-002"),
        (
            "sentence-transformers/gtr-t5-base",
            "ielabgroup/vec2text_gtr-base-st_inversion + ielabgroup/vec2text_gtr-base-st_corrector",
        ),
    ],
)
def test_vec2text_is_called_as_its_documentation_says(monkeypatch, embedding, corrector):
    class Tensor(np.ndarray):
        def to(self, device):
            assert device == "cpu"
            return self

    def corrector_of(label):
        weights = [SimpleNamespace(device="cpu")]
        return SimpleNamespace(label=label, model=SimpleNamespace(parameters=lambda: iter(weights)))

    def invert_embeddings(embeddings, corrector, num_steps):
        assert np.allclose(np.linalg.norm(embeddings, axis=1), 1)
        return [f" {corrector.label}, {num_steps}"] * len(embeddings)

    by_name = SimpleNamespace(from_pretrained=lambda name: name)
    package = SimpleNamespace(
        models=SimpleNamespace(InversionModel=by_name, CorrectorEncoderModel=by_name),
        load_corrector=lambda guess, correct: corrector_of(f"{guess} + {correct}"),
        load_pretrained_corrector=lambda name: corrector_of(f"own {name}"),
        invert_embeddings=invert_embeddings,
    )
    torch = SimpleNamespace(from_numpy=lambda x: x.view(Tensor))
    monkeypatch.setattr(decode, "find_spec", lambda name: name)
    monkeypatch.setattr(decode, "import_module", lambda name: {"vec2text": package, "torch": torch}[name])
    assert Vec2Text(embedding, steps=7)(2 * embeddings(2)) == [f"{corrector}, 7"] * 2
