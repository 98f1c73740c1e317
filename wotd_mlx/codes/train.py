"""Training the codes: split by word family, fit, stop early, and say each epoch how the levels are used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_map

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.autoencoder import Autoencoder, build_detail
from wotd_mlx.codes.hvq import HVQ
from wotd_mlx.codes.metrics import balanced_accuracy, usage_and_perplexity
from wotd_mlx.config import CodesConfig, TrainingConfig
from wotd_mlx.config.codes import ReaderConfig
from wotd_mlx.schemas import Attribute, Word, WotdError
from wotd_mlx.words.families import family

log = logging.getLogger("wotd_mlx")


@dataclass(frozen=True)
class Split:
    """Row numbers of the training, validation and test words; no word family is in two of them."""

    train: Indices
    valid: Indices
    test: Indices


@dataclass(frozen=True)
class Epoch:
    """One line of ``history.json``."""

    epoch: int
    loss: float
    valid_loss: float
    relative_mse: float
    learning_rate: float
    usage: list[float]
    perplexity: list[float]
    revived: int


def split_by_family(words: Sequence[str], config: TrainingConfig) -> Split:
    """Deal whole word families out at random, by ``config.seed``, until each part has its share of words.

    Raises:
        WotdError: too few families for three parts.
    """
    families: dict[str, list[int]] = {}
    for row, word in enumerate(words):
        families.setdefault(family(word), []).append(row)
    if len(families) < 3:
        raise WotdError(
            f"the corpus has {len(words)} words in {len(families)} word families; "
            "training, validation and test need one each at least, and some hundreds to learn anything"
        )
    order = np.random.default_rng(config.seed).permutation(len(families))
    groups = list(families.values())
    wanted = [max(1.0, config.held_out * len(words)), max(1.0, config.validation * len(words)), np.inf]
    parts: list[list[int]] = [[], [], []]
    part = 0
    for position, index in enumerate(order):
        # A part closes when it is full, or when the rest is just enough to give each later part one family.
        if part < 2 and parts[part] and (len(parts[part]) >= wanted[part] or len(order) - position <= 2 - part):
            part += 1
        parts[part] += groups[index]
    test, valid, train = (np.sort(np.array(rows, np.int64)) for rows in parts)
    return Split(train, valid, test)


def label_matrix(words: Sequence[Word], attributes: Sequence[Attribute]) -> Indices:
    """(N, A) the number of each word's value of each attribute; -1 where it has none that the attribute lists."""
    numbers = [{value: v for v, value in enumerate(a.values)} for a in attributes]
    rows = [
        [number.get(w.labels.get(a.name, ""), -1) for a, number in zip(attributes, numbers, strict=True)] for w in words
    ]
    return np.array(rows, np.int64).reshape(len(words), len(attributes))


def balanced_weights(labels: Indices) -> Embeddings:
    """labels (N, A) -> weights (N, A): 0 where unlabelled, else such that each value counts alike and the mean is 1."""
    weights = np.zeros(labels.shape, np.float32)
    for a in range(labels.shape[1]):
        known = labels[:, a] >= 0
        values, counts = np.unique(labels[known, a], return_counts=True)
        for value, count in zip(values, counts, strict=True):
            weights[labels[:, a] == value, a] = known.sum() / (len(values) * count)
    return weights


def training_steps(cfg: CodesConfig, rows: int, labels: Indices) -> int:
    """How many steps :func:`fit` will count off on so many training words with labels (N, A)."""
    detail = build_detail(cfg, 1)
    beyond = detail.fit_steps if detail else 0
    if cfg.kind == "hvq":
        return beyond + ReaderConfig().steps(int((labels >= 0).any(axis=1).sum())) + HVQ.STAGES
    return beyond + cfg.epochs * (rows // min(cfg.batch, rows))


def fit(
    model: Autoencoder,
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
) -> Iterator[Epoch]:
    """Train ``model`` on x (N, D) with labels (N, A); yields an epoch at a time and ends with the best weights.

    loss = ‖x − x̂‖² / ‖x − μ‖² + label_weight · Σ_q cross-entropy of attribute q from coordinate q alone + commitment.
    The validation loss is ‖x − x̂‖² / ‖x − μ‖² + label_weight · Σ_q error rate of attribute q, balanced: cross-entropy
    rises with a growing sureness that loses no label, and the commitment follows the latents' scale. A dictionary is
    computed rather than learnt by gradient: it takes one epoch.

    Raises:
        WotdError: a vector that isn't finite.
    """
    if len(bad := np.flatnonzero(~np.isfinite(x).all(axis=1))):
        raise WotdError(f"vector {bad[0]} of {len(x)} is not finite ({len(bad)} such); check the embedding model")
    mx.random.seed(seed)
    model.start(x[split.train], seed)
    if isinstance(model.quantizer, HVQ):
        yield _fit_dictionary(model, model.quantizer, x, labels, split, cfg, seed, progress)
    else:
        yield from _fit_by_gradient(model, x, labels, split, cfg, seed, progress)
    model.fit_detail(x[split.train], seed, progress)


def _fit_by_gradient(
    model: Autoencoder,
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    seed: int,
    progress: Callable[[int], None],
) -> Iterator[Epoch]:
    rng = np.random.default_rng(seed)
    data, valid = (
        (mx.array(x[rows]), mx.array(np.maximum(labels[rows], 0)), mx.array(balanced_weights(labels[rows])))
        for rows in (split.train, split.valid)
    )
    variance = _variance(model, x[split.train])
    batch = min(cfg.batch, len(split.train))
    steps = len(split.train) // batch
    schedule = warmup_cosine(cfg.learning_rate, cfg.warmup, cfg.epochs * steps)
    optimizer = optim.AdamW(learning_rate=schedule, weight_decay=cfg.weight_decay)
    optimizer.init(model.trainable_parameters())

    def relative_error(x: mx.array, decoded: mx.array) -> mx.array:
        return ((x - decoded) ** 2).sum(axis=1).mean() / variance

    def loss(x: mx.array, labels: mx.array, weights: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        decoded, codes, logits, z = model(x)
        total = relative_error(x, decoded) + cfg.commitment * codes.loss / z.shape[1]
        for a, logit in enumerate(logits):
            crossed = nn.losses.cross_entropy(logit, labels[:, a], weights=weights[:, a])
            total = total + cfg.label_weight * crossed.sum() / mx.maximum((weights[:, a] > 0).sum(), 1)
        return total, z, codes.ids

    def validate(x: mx.array, labels: mx.array, weights: mx.array) -> tuple[float, float]:
        decoded, _, logits, _ = model(x)
        error = float(relative_error(x, decoded))
        wrong = [((logit.argmax(axis=1) != labels[:, a]) * weights[:, a]).sum() for a, logit in enumerate(logits)]
        rates = [float(w / mx.maximum(weights[:, a].sum(), 1)) for a, w in enumerate(wrong)]
        return error + cfg.label_weight * sum(rates), error

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(rows: mx.array) -> mx.array:
        total: mx.array
        model.quantizer.anneal(optimizer.step / (cfg.epochs * steps))
        (total, z, ids), gradients = loss_and_grad(*(part[rows] for part in data))
        gradients, _ = optim.clip_grad_norm(gradients, cfg.clip)
        optimizer.update(model, gradients)
        model.quantizer.learn(z, ids)
        return total

    state = [model.state, optimizer.state, mx.random.state]  # the last, so that a compiled step's noise is new
    run = partial(mx.compile, inputs=state, outputs=state)(step) if cfg.compile else step
    best, best_loss, waited = tree_map(mx.array, model.parameters()), float("inf"), 0
    for number in range(1, cfg.epochs + 1):
        order = mx.array(rng.permutation(len(split.train)))
        seen = []
        model.train()
        for n in range(steps):
            seen.append(run(order[n * batch : (n + 1) * batch]))
            mx.eval(state, seen[-1])
            progress(1)
        model.eval()
        valid_loss, error = validate(*valid)
        z = model.latents(data[0])
        usage, perplexity = usage_and_perplexity(np.asarray(model.quantizer(z).ids), cfg.levels)
        yield Epoch(
            number,
            float(mx.stack(seen).mean()),
            valid_loss,
            error,
            float(optimizer.learning_rate),
            usage,
            perplexity,
            model.quantizer.restart_dead_codes(np.asarray(z), seed + number),
        )
        if valid_loss < best_loss:
            best, best_loss, waited = tree_map(mx.array, model.parameters()), valid_loss, 0
        elif (waited := waited + 1) >= cfg.patience:
            break
    model.update(best)
    mx.eval(model.parameters())


def _fit_dictionary(
    model: Autoencoder,
    quantizer: HVQ,
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    seed: int,
    progress: Callable[[int], None],
) -> Epoch:
    rows = np.concatenate([split.train, split.valid])
    train, valid = np.split(np.asarray(model.latents(mx.array(x[rows]))), [len(split.train)])
    weights = balanced_weights(labels[split.train])
    unseen = (valid, labels[split.valid])
    quantizer.fit(train, labels[split.train], weights, unseen, seed, progress, fuse=cfg.compile)
    ids = np.asarray(model.encode(mx.array(x[rows])))
    decoded = np.asarray(model.decode(mx.array(ids)))
    errors = ((x[rows] - decoded) ** 2).sum(axis=1)
    variance = _variance(model, x[split.train])
    trained, seen = (float(part.mean()) / variance for part in np.split(errors, [len(split.train)]))
    ids, others = np.split(ids, [len(split.train)])
    read_labels_off_codes(model, ids, labels[split.train])
    wrong = [
        1 - balanced_accuracy(np.asarray(table).argmax(axis=1)[others[known, a]], labels[split.valid][known, a])
        for a, table in enumerate(model.tables)
        if (known := labels[split.valid][:, a] >= 0).any()
    ]
    lost = cfg.label_weight * sum(wrong)
    usage, perplexity = usage_and_perplexity(ids, cfg.levels)
    return Epoch(1, trained, seen + lost, seen, 0.0, usage, perplexity, 0)


def _variance(model: Autoencoder, x: Embeddings) -> float:
    return max(float(((x - np.asarray(model.mean)) ** 2).sum(axis=1).mean()), 1e-12)


def warmup_cosine(rate: float, warmup: float, total: int) -> Callable[[mx.array], mx.array]:
    """A learning rate that rises to ``rate`` over a share ``warmup`` of ``total`` steps, and falls along a cosine."""
    rise = max(1, round(warmup * total))
    up = optim.linear_schedule(rate / rise, rate, rise)
    return optim.join_schedules([up, optim.cosine_decay(rate, max(1, total - rise))], [rise])


def read_labels_off_codes(model: Autoencoder, ids: Indices, labels: Indices) -> None:
    """Fill ``model.tables`` from ids (N, Q) and labels (N, A): what share each value has among the words with a code.

    Values count alike however many words bear them; a code without labelled words takes its nearest neighbour's row
    along the coordinate.
    """
    weights = balanced_weights(labels)
    tables = []
    for a, table in enumerate(model.tables):
        counts = np.zeros(table.shape)
        known = labels[:, a] >= 0
        np.add.at(counts, (ids[known, a], labels[known, a]), weights[known, a])
        filled = np.flatnonzero(counts.sum(axis=1))
        if len(filled):
            nearest = filled[np.abs(np.arange(len(counts))[:, None] - filled).argmin(axis=1)]
            counts = counts[nearest] / counts[nearest].sum(axis=1, keepdims=True)
        tables.append(mx.array(counts, mx.float32))
    model.tables = tables


def history_rows(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """The epochs as plain values, for ``history.json``."""
    return [asdict(epoch) for epoch in history]


def warn_of_collapse(history: Sequence[Epoch], levels: Sequence[int]) -> None:
    """Log a warning for each level of which the last epoch's training words use less than half the codes."""
    for q, (used, k) in enumerate(zip(history[-1].usage, levels, strict=True)):
        if used < 0.5:
            log.warning("level %d has collapsed: %.0f of its %d codes are used", q + 1, used * k, k)
