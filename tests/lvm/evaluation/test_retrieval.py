import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings
from tests.tolerances import close
from wotd_mlx.lvm.evaluation.retrieval import confusion, rank, summary


def axes(*numbers: int, dims: int = 16) -> np.ndarray:
    return np.eye(dims, dtype=np.float32)[list(numbers)]


def test_the_target_itself_is_first():
    data, x = articles(10, 10), embeddings(20)
    found = rank(x[[7, 15]], data, x, np.array([7, 15]), context=5)
    assert found.context.tolist() == [1, 1]
    assert found.nearest.tolist() == [7, 15]


@pytest.mark.parametrize(("context", "hidden"), [(3, 3), (5, 5), (7, 7)])
def test_the_context_is_no_candidate_and_nor_are_the_newest_five(context, hidden):
    data = articles(12, 8)
    x = embeddings(20)
    target, prediction = np.array([10]), embeddings(1, seed=3)
    cosine = (x @ prediction[0]).tolist()

    def by_hand(left_out):
        return 1 + sum(c > cosine[10] for n, c in enumerate(cosine) if not 10 - left_out <= n < 10)

    found = rank(prediction, data, x, target, context)
    assert found.context.tolist() == [by_hand(hidden)]
    assert found.newest.tolist() == [by_hand(5)]


def test_sentences_of_the_article_before_are_candidates():
    data = articles(6, 9)
    x = axes(*range(15))
    # Eight before it in the file; only two of them in its article and so in its context.
    target = np.array([8])
    found = rank(x[[2]] + 0.5 * x[[8]], data, x, target, context=8)
    assert found.context.tolist() == [2]
    assert found.nearest.tolist() == [2]


def test_a_copy_of_the_last_vector_does_not_find_it():
    data, x = articles(10), embeddings(10)
    found = rank(x[[6]], data, x, np.array([7]), context=5)
    assert found.nearest[0] not in range(2, 7)


def test_ties_count_half():
    data = articles(10)
    x = axes(0, 1, 2, 3, 4, 5, 6, 7, 7, 7)
    # Two others are as near as the target.
    assert rank(axes(7), data, x, np.array([7]), context=5).context.tolist() == [2]
    # A prediction of zeros is as far from all: five candidates, so the middle one's rank.
    assert rank(np.zeros((1, 16), np.float32), data, x, np.array([7]), context=5).context.tolist() == [3]


def test_blocks_change_nothing():
    data, x = articles(30, 40), embeddings(70)
    targets, predictions = data.rows(np.array([0, 1]), 5), embeddings(60, seed=1)
    whole = rank(predictions, data, x, targets, 8)
    for found, wanted in zip(rank(predictions, data, x, targets, 8, scores=7 * 70), whole, strict=True):
        close(found, wanted, "exact")


def test_shares_and_mean_reciprocal_rank():
    found = summary(np.array([1.0, 2.0, 5.5, 20.0, 40.0]))
    assert found == {
        "top1": 0.2,
        "top5": 0.4,
        "top10": 0.6,
        "top20": 0.8,
        "mean_reciprocal_rank": pytest.approx((1 + 1 / 2 + 1 / 5.5 + 1 / 20 + 1 / 40) / 5, abs=1e-6),
    }


def test_confusion_of_known_topics():
    found = confusion(
        ["arts", "arts", "history", "", "arts", "arts"], ["arts", "history", "history", "arts", "", "arts"]
    )
    assert found == {"topics": ["arts", "history"], "matrix": [[0.5, 0.25], [0, 1]]}
    assert confusion(["", ""], ["", "arts"]) == {"topics": [], "matrix": []}
