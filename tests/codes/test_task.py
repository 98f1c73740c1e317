"""The task that trains codes: its loss and its evaluation by their formulas, and how many steps are counted off."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.test_train import ATTRIBUTES, split_rows, toy
from tests.tolerances import close
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights
from wotd_mlx.codes.task import CodesTask
from wotd_mlx.codes.train import fit, training_steps
from wotd_mlx.config import CodesConfig

X, LABELS = toy(240)
SPLIT = split_rows(len(X))


def test_the_loss_and_the_evaluation_are_their_formulas():
    cfg = CodesConfig(
        kind="rvq", levels=(4, 4, 4), latent=8, hidden=16, batch=50, label_weight=0.3, commitment=0.7, compile=False
    )
    mx.random.seed(1)
    model = Autoencoder(16, cfg, ATTRIBUTES)
    model.start(X[SPLIT.train], 0)
    task = CodesTask(model, X, LABELS, SPLIT, cfg, 0)
    variance = ((X[SPLIT.train] - np.array(model.mean)) ** 2).sum(axis=1).mean(dtype=float)

    def parts(rows):
        decoded, codes, logits, z = model(mx.array(X[rows]))
        error = ((X[rows] - np.array(decoded)) ** 2).sum(axis=1).mean(dtype=float) / variance
        return error, float(codes.loss) / z.shape[1], [np.array(logit, float) for logit in logits]

    rows = SPLIT.train[:50]
    weights = balanced_weights(LABELS[SPLIT.train])[:50]
    error, commitment, logits = parts(rows)
    want = error + 0.7 * commitment
    for a, logit in enumerate(logits):
        known = LABELS[rows, a] >= 0
        crossed = np.log(np.exp(logit).sum(axis=1)) - logit[np.arange(50), np.maximum(LABELS[rows, a], 0)]
        want += 0.3 * (crossed * weights[:, a])[known].sum() / known.sum()
    batch = (mx.array(part) for part in (X[rows], np.maximum(LABELS[rows], 0), weights))
    close(task.loss(*batch)[0], want, "paper")

    model.eval()
    error, _, logits = parts(SPLIT.valid)
    labels = LABELS[SPLIT.valid]
    rates = [
        np.mean(
            [(logit.argmax(axis=1) != v)[labels[:, a] == v].mean() for v in np.unique(labels[labels[:, a] >= 0, a])]
        )
        for a, logit in enumerate(logits)
    ]
    close(task.evaluate(), [error + 0.3 * sum(rates), error], "paper")


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "fsq", "levels": (4, 4, 4, 4), "epochs": 3, "patience": 9, "detail": 16},
        {"kind": "hvq", "levels": (4, 4, 4, 4), "detail": 16},
        {"kind": "residual", "bits": 8},
        {"kind": "binary", "bits": 8},
    ],
)
def test_as_many_steps_are_counted_off_as_were_said(settings):
    cfg = CodesConfig(hidden=16, batch=50, **settings)
    taken: list[int] = []
    model = Autoencoder(16, cfg, ATTRIBUTES)
    list(fit(model, X, LABELS, SPLIT, cfg, 0, taken.append))
    assert sum(taken) == training_steps(model, cfg, len(SPLIT.train), LABELS[SPLIT.train])
