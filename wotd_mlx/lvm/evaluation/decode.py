"""From an embedding back to text: the nearest sentences that are known, or words that vec2text makes up."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.lvm.data.embeddings import check
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.schemas import WotdError


class Concept(NamedTuple):
    """A known sentence near an embedding."""

    text: str
    cosine: float
    row: int
    """Its position among the sentences."""


class NearestConcepts:
    """Decodes an embedding as the known sentences nearest to it.

    Args:
        sentences: the N known sentences.
        embeddings: (N, D), theirs.

    Raises:
        WotdError: as many embeddings as sentences are expected, all of them finite.
    """

    def __init__(self, sentences: Sentences, embeddings: Embeddings):
        import faiss

        check(embeddings, len(sentences), "the sentences' embeddings")
        self.sentences = sentences
        self.index = faiss.IndexFlatIP(embeddings.shape[1])
        self.index.add(np.ascontiguousarray(embeddings))

    def __call__(self, embeddings: Embeddings, count: int = 5) -> list[list[Concept]]:
        """embeddings (B, D) -> for each the ``count`` nearest sentences, nearest first.

        Raises:
            WotdError: another D, or an embedding that isn't finite.
        """
        check(embeddings, len(embeddings), "the embeddings to decode")
        if embeddings.shape[1] != self.index.d:
            raise WotdError(
                f"the embeddings to decode have {embeddings.shape[1]} numbers, the known sentences' have "
                f"{self.index.d}; embed the sentences with the model that the predictor was trained on"
            )
        cosines, rows = self.index.search(unit(embeddings), min(count, len(self.sentences)))
        return [
            [Concept(self.sentences.texts[row], float(cosine), int(row)) for row, cosine in zip(*pair, strict=True)]
            for pair in zip(rows, cosines, strict=True)
        ]


ADA = "text-embedding-ada-002"
GTR = "gtr-t5-base"
CORRECTORS = (GTR, ADA)
"""Embeddings that somebody has trained a corrector for."""

# vec2text's own ``gtr-base`` inverts embeddings before the last layer of gtr-t5-base and without unit length; this pair
# was trained on what sentence-transformers gives, as our embeddings are.
_GTR_PAIR = ("ielabgroup/vec2text_gtr-base-st_inversion", "ielabgroup/vec2text_gtr-base-st_corrector")


class Vec2Text:
    """Decodes an embedding as new text, by guessing, embedding the guess and correcting it.

    The package, PyTorch and the correctors' weights are loaded at the first call. It is wired after the package's
    documentation and untested here: its weights are not at hand.

    Args:
        embedding: whose embeddings are decoded; an owner before the name is ignored.
        steps: corrections; more are better and slower.

    Raises:
        WotdError: no corrector exists for the embedding, or the package is not installed.

    Reference:
        Morris et al. 2023, "Text Embeddings Reveal (Almost) As Much As Text", arXiv 2310.06816.
    """

    def __init__(self, embedding: str, steps: int = 20):
        self.embedding, self.steps = embedding.rpartition("/")[2], steps
        if self.embedding not in CORRECTORS:
            raise WotdError(
                f"vec2text has no corrector for {embedding!r}; expected one of {', '.join(CORRECTORS)}. "
                "Decode by nearest sentences instead, or train on one of those embeddings"
            )
        if find_spec("vec2text") is None:
            raise WotdError(
                "decoding to new text needs vec2text; install it with `pip install vec2text`, or decode by nearest "
                "sentences"
            )
        self._corrector: Any = None

    def __call__(self, embeddings: Embeddings) -> list[str]:
        """embeddings (B, D) -> B texts."""
        vec2text, torch = import_module("vec2text"), import_module("torch")
        if self._corrector is None:
            self._corrector = self._load(vec2text)
        # Correctors were trained on unit vectors; a prediction is shorter the less sure it is.
        guesses = torch.from_numpy(unit(embeddings)).to(next(self._corrector.model.parameters()).device)
        texts = vec2text.invert_embeddings(embeddings=guesses, corrector=self._corrector, num_steps=self.steps)
        return [str(text).strip() for text in texts]

    def _load(self, vec2text: Any) -> Any:
        if self.embedding == ADA:
            return vec2text.load_pretrained_corrector(ADA)
        guess = vec2text.models.InversionModel.from_pretrained(_GTR_PAIR[0])
        return vec2text.load_corrector(guess, vec2text.models.CorrectorEncoderModel.from_pretrained(_GTR_PAIR[1]))
