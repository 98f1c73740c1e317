import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings
from tests.tolerances import close
from wotd_mlx.lvm.evaluation import scores
from wotd_mlx.lvm.evaluation.failures import worst
from wotd_mlx.lvm.evaluation.retrieval import Ranks


def test_by_hand():
    x = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    found = scores.measure(np.array([[0, 2], [3, 0]], np.float32), x, np.array([1, 2]))
    close(found.cosine, [1, 0.6], "sum_order")
    close(found.margin, [1 - 0, 0.6 - 0], "sum_order")
    close(found.error, [(0 + 1) / 2, (2.4**2 + 0.8**2) / 2], "sum_order")
    assert scores.summary(found) == {
        "count": 2,
        "mse": pytest.approx(1.85),
        "cosine": pytest.approx(0.8),
        "deviation": pytest.approx(0.2),
        "margin": pytest.approx(0.8),
        "quartiles": pytest.approx([0.6, 0.7, 0.8, 0.9, 1]),
    }


def test_a_copier_has_no_margin_of_its_own():
    x = embeddings(9)
    found = scores.measure(x[4:8], x, np.arange(5, 9))
    close(found.margin, found.cosine - 1, "sum_order")


def test_a_prediction_of_zeros_points_nowhere():
    x = embeddings(3)
    found = scores.measure(np.zeros((1, 16), np.float32), x, np.array([1]))
    assert (found.cosine[0], found.margin[0]) == (0, 0)
    assert found.error[0] == pytest.approx(1 / 16)


def figures(*cosine: float) -> scores.Figures:
    numbers = np.array(cosine)
    return scores.Figures(numbers, numbers, numbers - 0.5)


def test_buckets_hold_every_target_once():
    data = articles(24, 25, 300, topics=("arts", "", "arts"))
    targets = np.array([10, 30, 60, 70])
    lengths = scores.by_length(figures(0.1, 0.2, 0.3, 0.5), data, targets)
    assert [(row["bucket"], row["count"]) for row in lengths] == [("below 25", 1), ("25–49", 1), ("200 and more", 2)]
    assert lengths[2] == {"bucket": "200 and more", "count": 2, "cosine": 0.4, "margin": -0.1}
    topics = scores.by_topic(figures(0.1, 0.2, 0.3, 0.5), data, targets)
    assert [(row["bucket"], row["count"], row["cosine"]) for row in topics] == [("arts", 3, 0.3), ("unknown", 1, 0.2)]
    near = scores.by_similarity(figures(0.1, 0.2, 0.3), np.array([0.1, 0.45, 1.0]))
    assert [row["bucket"] for row in near] == ["below 0.4", "0.4 to 0.5", "0.8 and more"]


def test_similarity_is_that_of_the_newest_vector_to_training_rows_alone():
    x = embeddings(12)
    training = np.array([0, 3, 4])
    found = scores.similarity_to_training(x, np.array([8, 11]), training)
    close(found, (x[[7, 10]] @ x[training].T).max(axis=1), "sum_order")


def test_failures_are_the_worst_ranks_in_words():
    data = articles(8, 8)
    targets = np.array([5, 7, 13])
    ranks = Ranks(np.array([3.0, 40.5, 40.5]), np.zeros(3), np.array([6, 9, 1]))
    found = worst(figures(0.3, 0.2, 0.1), ranks, data, targets, count=2)
    assert [case["cosine"] for case in found] == [0.1, 0.2]
    assert found[0] == {
        "title": "article 1",
        "context": [f"sentence {n} of article 1." for n in (2, 3, 4)],
        "wanted": "sentence 5 of article 1.",
        "got": "sentence 1 of article 0.",
        "cosine": 0.1,
        "rank": 40.5,
    }
