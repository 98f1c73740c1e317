"""Runs of residual and of binary codes: an ID of bytes that nobody reads, labels beside it, vectors back."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import small_config
from tests.tolerances import close
from wotd_mlx import CodesConfig, SemanticEncoder, train_wotd_pipeline
from wotd_mlx.cli import main
from wotd_mlx.codes.split import split_by_family


@pytest.fixture(scope="module", params=["residual", "binary"])
def coder(request, checkpoint, tmp_path_factory):
    from dataclasses import replace

    config = replace(small_config(checkpoint), codes=CodesConfig(request.param, bits=20))
    return SemanticEncoder.load(train_wotd_pipeline(config, tmp_path_factory.mktemp("runs") / request.param).run)


def test_ids_are_bytes_and_say_nothing_while_labels_are_told(coder):
    assert coder.levels == (256, 256, 16)
    ids = coder.encode(["kingly", "quibblement"])
    assert coder.labels(ids) == [{}, {}]
    assert coder.read(["kingly"])[0].labels == coder.known.labels_of(coder.known.row("kingly"))[0]
    (told,) = coder.predict(["quibblement"])
    assert set(told.labels) == {attribute.name for attribute in coder.config.attributes}
    assert coder.names() == []


def test_known_words_have_the_code_of_their_vector(coder):
    words, vectors = coder.words
    for row in range(0, len(words), 131):
        assert coder.encode([words[row].text]) == coder.encode_vectors(vectors[row : row + 1])


def test_vectors_come_back_as_the_metrics_say(coder):
    words, vectors = coder.words
    held = vectors[split_by_family([word.text for word in words], coder.config).test]
    back = coder.decode(coder.encode_vectors(held))
    mean = np.asarray(coder.model.mean)
    figures = coder.run.read_metrics()["codes"]
    close(np.square(held - back).sum() / np.square(held - mean).sum(), figures["relative_mse"], "sum_order")
    assert figures["relative_mse"] < 0.9
    assert figures["labels_read_back"] is None


def test_the_command_that_names_codes_says_that_there_are_none(coder):
    result = CliRunner().invoke(main, ["codes", "--run", str(coder.run.path)])
    assert result.exit_code == 1
    assert "no number of an ID of" in result.output
