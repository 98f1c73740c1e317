"""The main job: words → embeddings → codes → language, one stage after another, each kept whole before the next."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from wotd_mlx import backend
from wotd_mlx.arrays import Embeddings, Indices, Vectors
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.distil import StudentTask, agreement, distil, phrases, student_metrics
from wotd_mlx.codes.labels import label_matrix, read_labels_off_codes
from wotd_mlx.codes.levels import USUAL, Trial, choose_levels, proposals
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.codes.reader import likeliest
from wotd_mlx.codes.report import codes_metrics, corpus_ids, corpus_metrics, known_metrics
from wotd_mlx.codes.split import Split, split_by_family
from wotd_mlx.codes.student import Student, fitting
from wotd_mlx.codes.train import Texts, fit, history_rows, training_steps, warn_of_collapse
from wotd_mlx.codes.unique import make_unique
from wotd_mlx.config import TrainingConfig
from wotd_mlx.config.language import NO_LANGUAGE
from wotd_mlx.config.student import StudentConfig
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.meaning import Meaning, gloss_means, gloss_weights, opposites_of, senses_of, word_vectors
from wotd_mlx.embed.models import find_model
from wotd_mlx.encoder import SemanticEncoder, load_model
from wotd_mlx.find import sense_vectors
from wotd_mlx.io.lock import locked
from wotd_mlx.io.safetensors import DIGEST, named, read_metadata
from wotd_mlx.known import KnownWords
from wotd_mlx.language.word_index import WordIndex
from wotd_mlx.progress import progress
from wotd_mlx.run_folder import HINT, Glosses, RunFolder, settings_digest
from wotd_mlx.schemas import Corpus, RunInfo, SemanticID, Word, WotdError
from wotd_mlx.training.checkpoint import Checkpoint
from wotd_mlx.words import load_corpus
from wotd_mlx.words.builtin import load_lexicon
from wotd_mlx.words.dictionary import Dictionary, load_dictionary
from wotd_mlx.words.difficulty import difficulty
from wotd_mlx.words.jsonl import read_jsonl, write_jsonl

log = logging.getLogger("wotd_mlx")

_DELETE = "delete it, and the training starts over"

# What marks a word of corpus.jsonl as one that only trained the codes.
LEXICON = "lexicon"


def train_wotd_pipeline(config: TrainingConfig, output_dir: str | Path = "runs/default") -> RunInfo:
    """Train, or go on with, the run in ``output_dir``: the entry point that a job runner calls.

    Raises:
        WotdError: bad settings or input; what was in the folder before is still there.
    """
    return WOTDTrainer(config, output_dir).train()


def read_texts(run: RunFolder, dims: int) -> Texts:
    """What a run's words are beside their vectors, of width ``dims``."""
    glosses, meaning = run.read_glosses(), run.read_meaning(dims)
    return Texts(glosses.bare, glosses.bare if meaning is None else np.asarray(meaning(mx.array(glosses.bare))))


class WOTDTrainer:
    """Runs the stages of a training; one that a run folder holds already is not run again.

    Args:
        config: all settings; an unfinished run only goes on under the settings that it was begun with.
        output_dir: the run folder.
    """

    def __init__(self, config: TrainingConfig, output_dir: str | Path = "runs/default"):
        self.config = config
        self.run = RunFolder(output_dir)
        self.metrics: dict[str, Any] = {}

    async def train_complete_pipeline(self) -> RunInfo:
        """:meth:`train` in a thread of its own, for callers with an event loop."""
        return await asyncio.to_thread(self.train)

    def train(self) -> RunInfo:
        """Run each stage that isn't done, under the folder's lock."""
        dims = find_model(self.config.embedding).dims
        limits = backend.memory_limited(self.config.memory_limit)
        with limits, backend.random_state_kept(), locked(self.run.path):
            self._begin(dims)
            run = self.run
            stages = {
                "words": (self._words, [run.corpus]),
                "embed": (self._embed, [run.vectors, run.glosses]),
                "codes": (self._codes, [run.model, run.history, run.semantic_ids, run.known]),
            }
            if self.config.student:
                stages["student"] = (self._student, [run.student])
            if self.config.language.model != NO_LANGUAGE:
                stages["language"] = (self._language, [run.adapters])
            for name, (stage, files) in stages.items():
                if name not in self.metrics["seconds"] or not all(file.exists() for file in files):
                    with self._measured(name):
                        stage()
        seconds = sum(self.metrics["seconds"].values())
        return RunInfo(self.run.path, seconds, self.metrics)

    def _begin(self, dims: int) -> None:
        """Write ``config.json``, or, where a stage is done, see that it was done with the same settings."""
        self.metrics = {"seconds": {}, "peak_bytes": {}}
        if not self.run.metrics.exists():
            versions = {name: importlib.metadata.version(name) for name in ("wotd-mlx", "mlx", "numpy")}
            versions["python"] = platform.python_version()
            told = {
                "dims": dims,
                "versions": versions,
                "dictionary": self._dictionary.digest if self._dictionary is not None else "",
            }
            self.run.write_json(self.run.config, {**asdict(self.config), **told})
            return
        begun, _ = self.run.read_config()
        if self.config.codes.bits and not self.config.codes.levels:  # chosen then, to be kept now
            self.config = replace(self.config, codes=replace(self.config.codes, levels=begun.codes.levels))
        now, then = asdict(self.config), asdict(begun)
        # Where vectors are cached and how much memory may be used changes nothing in the result; a student only adds.
        free = ("cache", "memory_limit", "student", *([] if self.run.adapters.exists() else ["language"]))
        if self.config.language.model == NO_LANGUAGE:
            free = (*free, "language")
        changed = [key for key in now if now[key] != then[key] and key not in free]
        if changed:
            pairs = "; ".join(f"{key}: {then[key]!r}, now {now[key]!r}" for key in changed)
            raise WotdError(
                f"{self.run.path} holds a run with other settings ({pairs}); choose another --out, or delete it"
            )
        self.metrics = self.run.read_metrics()
        self.run.check(self.config)
        log.info("%s: going on after %s", self.run.path, ", ".join(self.metrics["seconds"]))

    @contextmanager
    def _measured(self, name: str) -> Iterator[None]:
        """Time a stage; only when it is whole does ``metrics.json`` name it, and so count it as done."""
        started = time.perf_counter()
        try:
            yield
        except KeyboardInterrupt as error:
            raise WotdError(f"interrupted in stage {name}; the same command goes on from its start") from error
        self.metrics["seconds"][name] = time.perf_counter() - started
        self.metrics["peak_bytes"][name] = backend.peak_bytes()
        self.run.write_json(self.run.metrics, self.metrics)
        log.info("%s: done in %.1f s", name, self.metrics["seconds"][name])

    def _words(self) -> None:
        corpus = load_corpus(self.config.corpus)
        if len(corpus.words) < 2:
            raise WotdError(f"corpus {corpus.name} has {len(corpus.words)} word(s); expected two or more to compare")
        if LEXICON in corpus.groups:
            raise WotdError(
                f"corpus {corpus.name} calls a group of words {LEXICON!r}, a name with a meaning; rename it"
            )
        rows = [replace(word, corpus=word.corpus or corpus.name) for word in corpus.words]
        if self.config.lexicon:
            own = {word.text for word in corpus.words}
            rows += [replace(word, corpus=LEXICON) for word in load_lexicon() if word.text not in own]
        write_jsonl(self.run.corpus, rows)

    @cached_property
    def _dictionary(self) -> Dictionary | None:
        """What tells words' meanings; None where they aren't wanted."""
        return load_dictionary() if self.config.meaning.glosses else None

    def _corpus(self, words: tuple[Word, ...]) -> Corpus:
        own = tuple(word for word in words if word.corpus != LEXICON)
        return Corpus(self.config.corpus, own, tuple(word for word in words if word.corpus == LEXICON))

    def _embedder(self) -> BertEmbedder:
        cache = EmbeddingCache(Path(self.config.cache)) if self.config.cache else None
        return BertEmbedder(self.config.embedding, cache)

    def _embed(self) -> None:
        corpus = self._corpus(read_jsonl(self.run.corpus).words)
        texts = [word.text for word in (*corpus.words, *corpus.lexicon)]
        settings = self.config.meaning
        dictionary = self._dictionary if self._dictionary is not None else Dictionary([])
        phrases, owner = senses_of(texts, lambda text: dictionary.sense_texts(text, settings.senses))
        embedder = self._embedder()
        with progress("embed", len(texts) + len(phrases)) as advance:

            def watched(n: int) -> None:
                advance(n)
                backend.check_memory(self.config.memory_limit)

            bare, senses = np.split(embedder.embed([*texts, *phrases], watched), [len(texts)])
        made_from = {"words": self.run.file_digest(self.run.corpus)}
        vectors = bare
        means, counts = gloss_means(senses, owner, len(texts))
        train = split_by_family(texts, self.config).train
        taught = train[counts[train] > 0]
        if 0 < len(taught) < embedder.dims:
            log.info(
                "%d training words have glosses, too few to learn meaning from: a vector is an embedding", len(taught)
            )
        self.run.meaning.unlink(missing_ok=True)
        if len(taught) >= embedder.dims:
            meaning = Meaning(embedder.dims, settings.guessed_share)
            meaning.fit(bare[taught], means[taught], settings.ridge)
            weights = gloss_weights(embedder.pieces(texts), settings)
            opposites = opposites_of(texts, dictionary.opposites)
            vectors = word_vectors(meaning, bare, (means, counts), weights, opposites, settings.opposite_share)
            self.run.write_arrays(self.run.meaning, named(meaning.parameters()), made_from)
        self.run.write_glosses(Glosses(bare, Int8Rows.of(senses), owner.astype(np.int32)), made_from)
        self.run.write_arrays(self.run.vectors, {"vectors": vectors}, made_from)
        self.metrics["corpus"] = {
            **corpus_metrics(corpus, vectors[: len(corpus.words)]),
            "glossed": float((counts > 0).mean()),
        }

    def _codes(self) -> None:
        words, x = self.run.read_words()
        corpus = self._corpus(words)
        labels = label_matrix(words, self.config.attributes)
        split = split_by_family([word.text for word in words], self.config)
        trials = self._levels(x, labels, split)
        config = self.config
        mx.random.seed(config.seed)
        model = Autoencoder(x.shape[1], config.codes, config.attributes)
        made_from = {
            "settings": settings_digest(config),
            "vectors": read_metadata(self.run.vectors, HINT)[DIGEST],
        }
        checkpoint = Checkpoint(self.run.codes_checkpoint, made_from, _DELETE)
        texts = read_texts(self.run, x.shape[1])
        steps = training_steps(model, config.codes, len(split.train), labels[split.train], texts=True)
        history = []
        with progress("codes", steps) as advance:
            for epoch in fit(model, x, labels, split, config.codes, config.seed, advance, checkpoint, texts):
                history.append(epoch)
                log.debug("epoch %s", epoch)
                backend.check_memory(config.memory_limit)
        warn_of_collapse(history, config.codes.levels)
        # Figures come from words that the codes don't know; then these enter too, so that every word owns an ID.
        ids = np.zeros((len(x), len(config.codes.levels)), np.int64)
        # A word that a dictionary holds is searched for longer than all figures of others take.
        searched = split.test if model.quantizer.laid_out else np.arange(len(x))
        ids[searched] = np.asarray(model.encode(mx.array(x[searched])))
        read_labels_off_codes(model, ids[split.train], labels[split.train])
        figures = codes_metrics(model, config.codes.kind, x, ids, labels, split, config.attributes, texts.own)
        ids = model.know(x, labels, config.seed)
        read_labels_off_codes(model, ids, labels)
        n = len(corpus.words)
        unique = make_unique(model, x[:n], ids[:n])
        ids[:n] = unique.ids
        own = {word.text: SemanticID(row) for word, row in zip(corpus.words, unique.ids.tolist(), strict=True)}
        groups = corpus_ids(corpus.groups, own, model, config.attributes)
        # A student of other codes would answer with their IDs, and so would a language model.
        for file in (self.run.student, self.run.student_checkpoint):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.run.language, ignore_errors=True)
        for stage in ("student", "language"):
            self.metrics["seconds"].pop(stage, None)
            self.metrics.pop(stage, None)
        self.run.write_json(self.run.history, history_rows(history))
        self.run.write_json(self.run.semantic_ids, {"corpora": groups, "words": own})
        made_from["IDs"] = self.run.file_digest(self.run.semantic_ids)
        self.run.write_arrays(self.run.model, named(model.parameters()), made_from)
        self._write_known(words, x, ids, labels, likeliest(model.posteriors(mx.array(x), mx.array(texts.own))))
        self.metrics["codes"] = {
            **figures,
            "usage_train": history[-1].usage,
            **known_metrics(model, x, ids, labels, n),
            **(
                {"levels_tried": [{**trial._asdict(), "levels": list(trial.levels)} for trial in trials]}
                if trials
                else {}
            ),
            "corpus_collisions": {"found": unique.before, "left": unique.after, "distance_added": unique.cost},
        }
        checkpoint.remove()

    def _write_known(
        self, words: tuple[Word, ...], x: Embeddings, ids: Indices, labels: Indices, told: tuple[Indices, Vectors]
    ) -> None:
        """The table that answers for known words: x (N, D), ids (N, Q), labels (N, A), and the likeliest of each label
        with its probability."""
        glosses = self.run.read_glosses()
        meaning, senses, centre = self.run.read_meaning(x.shape[1]), glosses.senses, None
        if meaning is not None:
            named_senses = meaning.centred(senses.rows(np.arange(senses.shape[0])))
            senses = Int8Rows.of(sense_vectors(named_senses, meaning.own_part(glosses.bare)[glosses.owner]))
            centre = np.asarray(meaning.gloss)
        guesses, probability = told
        sure = labels >= 0
        KnownWords(
            words=tuple(word.text for word in words),
            ids=ids.astype(np.int32),
            labels=labels.astype(np.int8),
            guesses=np.where(sure, -1, guesses).astype(np.int8),
            probability=np.where(sure, 1, probability).astype(np.float32),
            word_rows=Int8Rows.of(x),
            sense_rows=senses,
            owner=glosses.owner,
            meet=np.array([word.worth is not False for word in words]),
            difficulty=np.array([difficulty(word) for word in words], np.int8),
            attributes=self.config.attributes,
            levels=self.config.codes.levels,
            embedding=self.config.embedding,
            glosses=self.run.read_json(self.run.config).get("dictionary", ""),
            source=self.config.corpus,
            centre=centre,
        ).write(self.run.known, self.run.known_made_from())

    def _levels(self, x: Embeddings, labels: Indices, split: Split) -> list[Trial]:
        """Where only bits are given, choose the levels, and write them among the settings."""
        codes = self.config.codes
        if codes.levels:
            return []
        with progress("levels", len(proposals(codes.bits, self.config.attributes))) as advance:
            trials = choose_levels(x, labels, split, codes, self.config.attributes, self.config.seed, advance)
        self.config = replace(self.config, codes=replace(codes, levels=trials[0].levels))
        settings = self.run.read_json(self.run.config)
        self.run.write_json(self.run.config, {**settings, **asdict(self.config)})
        others = [trial for trial in trials[1:] if trial.name in USUAL]
        told = "; ".join(
            f"{t.name} {list(t.levels)}: {t.relative_mse / trials[0].relative_mse - 1:+.1%}" for t in others
        )
        log.info("levels %s chosen; error of others on validation words: %s", list(trials[0].levels), told or "none")
        return trials

    def _student(self) -> None:
        words, x = self.run.read_words()
        texts = [word.text for word in words]
        split = split_by_family(texts, self.config)
        teacher = load_model(self.run, self.config, x.shape[1])
        embedder = self._embedder()
        cfg = fitting(embedder.tokenizer, teacher.quantizer.levels, StudentConfig())
        made = phrases([texts[row] for row in split.train], cfg.phrases, self.config.seed)
        train = replace(split, train=np.concatenate([split.train, len(texts) + np.arange(len(made))]))
        both = np.concatenate([x, embedder.embed(made)])
        mx.random.seed(self.config.seed)
        student = Student(embedder.tokenizer, teacher.quantizer.levels, cfg)
        table = np.asarray(embedder.bert.words.weight)
        task = StudentTask(student, table, [*texts, *made], both, teacher.encode, train, cfg, self.config.seed)
        made_from = {"codes": self.run.model_metadata()[DIGEST]}
        checkpoint = Checkpoint(self.run.student_checkpoint, made_from, _DELETE)
        with progress("student", task.total) as advance:
            for agreed in distil(task, checkpoint, advance):
                log.debug("student: validation agreement %.3f", agreed)
                backend.check_memory(self.config.memory_limit)
        held = split.test
        labels = label_matrix([words[row] for row in held], self.config.attributes)
        unseen = [texts[row] for row in held]
        asked = phrases(unseen, cfg.phrases, self.config.seed)
        self.run.write_arrays(self.run.student, student.arrays(), made_from)
        checkpoint.remove()
        self.metrics["student"] = {
            "bytes": self.run.student.stat().st_size,
            **student_metrics(student, teacher, unseen, x[held], labels, self.config.attributes),
            "phrase_agreement": agreement(student, teacher.encode, asked, embedder.embed(asked)),
        }

    def _language(self) -> None:
        # Heavy, and not for runs without a language model.
        from wotd_mlx.language.stage import DSLTrainer

        config = self.config.language
        trainer = DSLTrainer(WordIndex.of(SemanticEncoder.load(self.run.path)), config)
        trainer.make_dataset()
        self.run.write_json(self.run.config, {**self.run.read_json(self.run.config), "language": asdict(config)})
        language = trainer.train()
        backend.check_memory(self.config.memory_limit)
        self.metrics["language"] = trainer.evaluate(language, config.requests)
