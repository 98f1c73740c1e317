"""Files of the language stage: rows that come back, and lines that are none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from mlx_lm.tuner import datasets

from wotd_mlx.language.rows import Exchange, Gloss, read_exchanges, read_glosses, write_exchanges
from wotd_mlx.schemas import MissingError, WotdError

GOOD = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
SETS = {
    "train": [Exchange("Encode locket", "[2,1]", "encode"), Exchange("Use naïve", "so\u2028called", "use", True)],
    "valid": [Exchange("Generate 1 word for [*]", "glad", "by_pattern", True)],
    "test": [Exchange("Define locket", "a case", "define")],
}


def test_files_come_back_and_mlx_lm_reads_them(tmp_path):
    write_exchanges(tmp_path, SETS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.jsonl", "train.jsonl", "valid.jsonl"]
    for name, rows in SETS.items():
        assert read_exchanges(tmp_path / f"{name}.jsonl") == rows

    class Letters:
        """A tokenizer with a letter a token."""

        def apply_chat_template(self, messages, tools=None, add_generation_prompt=False, return_dict=False):
            assert tools is None
            return [ord(c) for m in messages for c in f"{m['content']}\n"]

    read = datasets.load_local_dataset(tmp_path, Letters(), SimpleNamespace(mask_prompt=True))
    for rows, part in zip(SETS.values(), read, strict=True):
        assert isinstance(part, datasets.ChatDataset)
        for n, row in enumerate(rows):
            tokens, offset = part.process(part[n])
            assert "".join(map(chr, tokens[:offset])) == f"{row.request}\n"
            assert "".join(map(chr, tokens[offset:])) == f"{row.answer}\n"


def test_rows_of_others_are_read_too(tmp_path):
    file = tmp_path / "train.jsonl"
    messages = [{**message, "name": None, "tool_calls": []} for message in GOOD["messages"]]
    file.write_text(f"{json.dumps({'messages': messages, 'task': 'words'})}\n\n{json.dumps(GOOD)}\n")
    assert read_exchanges(file) == [Exchange("a", "b")] * 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "not JSON"),
        ("{", "not JSON"),
        ("[]", "it is [], expected keys and values"),
        ("{}", "it lacks messages"),
        ('{"prompt": "a"}', "it lacks messages"),
        ('{"messages": 3}', "messages is 3, expected a list"),
        ('{"messages": []}', "messages have roles [], expected"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "roles ['user'], expected ['user', 'assistant']"),
        ('{"messages": [{"content": "sing"}, {"content": "a"}]}', "messages[0] lacks role"),
        ('{"messages": [{"role": "user", "content": 1}]}', "messages[0].content is 1, expected str"),
        ('{"messages": [{"role": "user", "content": ""}]}', "messages[0].content is '', expected str of length >= 1"),
        (json.dumps({**GOOD, "held_out": "no"}), "held_out is 'no', expected bool"),
        (json.dumps({**GOOD, "kind": None}), "kind is None, expected str"),
        (json.dumps(GOOD)[:-1] + ', "messages": []}', "the key 'messages' stands there twice"),
        ('{"messages": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        (json.dumps(GOOD).replace('"b"', '"\\ud800"'), "half of a surrogate pair"),
    ],
)
def test_bad_rows_are_told_by_file_and_line(tmp_path, line, told):
    path = tmp_path / "train.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{line}\n")
    with pytest.raises(WotdError, match=r"train\.jsonl:3: ") as caught:
        read_exchanges(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingError, match=r"no file .*absent\.jsonl; give a \.jsonl file of requests and answers"):
        read_exchanges(tmp_path / "absent.jsonl")


def test_glosses_are_read(tmp_path):
    path = tmp_path / "told.jsonl"
    path.write_text(
        '{"word": "locket", "definition": "a case\\nfor a keepsake", "examples": ["Her  locket.", ""]}\n'
        '{"word": "ice cream", "examples": null}\n\n'
        '{"word": " locket ", "definition": null, "examples": ["Her locket.", "Two lockets."]}\n'
    )
    assert read_glosses(path) == {
        "locket": Gloss("a case for a keepsake", ("Her locket.", "Two lockets.")),
        "ice cream": Gloss(),
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON"),
        ("7", "it is 7, expected keys and values"),
        ('{"definition": "x"}', "it lacks word"),
        ('{"word": "a,b"}', "word is 'a,b', expected a text without commas"),
        ('{"word": "a", "definition": 3}', "definition is 3, expected str | null"),
        ('{"word": "a", "examples": "x"}', "examples is 'x', expected a list | null"),
        ('{"word": "a", "examples": ["x", 1]}', "examples[1] is 1, expected str"),
        ('{"word": "a", "meaning": "x"}', "unknown keys 'meaning'; known are word, definition, examples"),
        ('{"word": "a", "definition": "\\u0000"}', "one line"),
    ],
)
def test_bad_glosses_are_told_by_file_and_line(tmp_path, line, told):
    path = tmp_path / "told.jsonl"
    path.write_text(f'{{"word": "locket"}}\n{line}\n')
    with pytest.raises(WotdError, match=r"told\.jsonl:2: ") as caught:
        read_glosses(path)
    assert told in str(caught.value)
    with pytest.raises(MissingError, match=r"no file .*none\.jsonl; give a \.jsonl file of definitions"):
        read_glosses(tmp_path / "none.jsonl")
