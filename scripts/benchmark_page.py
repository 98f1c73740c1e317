"""Write docs/benchmarks.md: which command measured what, where and when, and the tables that no other page has.

python -m scripts.benchmark_page
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS
from scripts.layout import first_sentence
from scripts.meaning_tables import meaning
from scripts.tables import ROOT, results, share, table

FILE = ROOT / "docs" / "benchmarks.md"
HEAD = """\
# Benchmarks

Made from `benchmarks/results` by `python -m scripts.benchmark_page`; a test refuses a stale copy. Times are medians;
where a peer stands beside, both ran in turns in one run, two threads each. No figure here is of Apple hardware: that is
not yet measured (`.github/workflows/macos.yml` does so). `make bench` makes them anew, in about three hours.

"""
ELSEWHERE = {
    "codes": "codes",
    "convert": "coreml",
    "paper_bound": "coreml",
    "constrained": "language",
    "generate": "language",
    "language": "language",
    "phi_memory": "language",
    "lvm_full": "lvm",
    "lvm_speed": "lvm",
    "lvm_tiny": "lvm",
}
"""Result -> the page in docs/explanation that has its tables."""


def page() -> str:
    """The whole of docs/benchmarks.md."""
    parts = {
        "What there is": index(),
        "Text → ID, beside sentence-transformers and FSQ in torch": text_to_id(),
        "Vector → ID, one at a time": vector_to_id(),
        "The main job without its language stage": main_job(),
        "Labels read off one coordinate, balanced accuracy on held-out words": labels(),
        "The student, text → ID without the embedding model": student(),
        "The encoder tuned on the dictionary": tuned_encoder(),
        "Commands from the shell, seconds": shell(),
        "Exports of the default": export(),
        "WOTDKit without its model": kit(),
        "What the dictionary knows of the words": dictionary(),
        "Generated inputs for every reader": robustness(),
    }
    if (RESULTS / "meaning.json").exists():
        parts["What IDs and vectors mean"] = meaning()
    if (RESULTS / "mutation.json").exists():
        parts["Mutants that the tests notice"] = mutation()
    return HEAD + "\n".join(f"## {title}\n\n{text}\n" for title, text in parts.items())


def index() -> str:
    """A row a result."""
    rows = []
    for file in sorted(RESULTS.glob("*.json")):
        found, (module, said) = results(file.stem), _maker(file.stem)
        where = f"[{ELSEWHERE[file.stem]}](explanation/{ELSEWHERE[file.stem]}.md)" if file.stem in ELSEWHERE else "here"
        machine = found.get("machine", {}).get("processor", "none: computed")
        rows.append((f"`{file.stem}`", said, f"`python -m {module}`", machine, found["date"], where))
    return table(("result", "what", "command", "processor", "date", "table"), rows, left=6)


def _maker(result: str) -> tuple[str, str]:
    """The module that writes a result, and its docstring's first sentence."""
    others = (file for file in (ROOT / "scripts").glob("*.py") if file.name != Path(__file__).name)
    fuzzer = ROOT / "tests" / "converters" / "fuzz" / "__main__.py"
    for file in (*(ROOT / "benchmarks").glob("*.py"), *others, fuzzer):
        text = file.read_text(encoding="utf-8")
        if re.search(rf'(write_results\(\s*|RESULTS / )"{result}(\.json)?"', text):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
            return module, first_sentence(file)
    raise LookupError(f"no module in benchmarks/ or scripts/, nor the fuzzer, writes {result}.json")


def text_to_id() -> str:
    """Milliseconds a batch, ours and the peer's."""
    found = results("encode")["text_to_id"]
    rows = [
        (name.replace("_", " "), _ms(row["ours_ms"]), _ms(row["sentence_transformers_ms"]), f"{row['speedup']:.2f}×")
        for name, row in found.items()
        if isinstance(row, dict)
    ]
    return table(("", "wotd-mlx", "sentence-transformers", "speed"), rows)


def vector_to_id() -> str:
    """Microseconds a vector."""
    found = results("encode")["vector_to_id"]["alone_us"]
    names = {
        "fsq": "FSQ",
        "hvq": "the default dictionary",
        "faiss_rq_beam_1": "FAISS RQ, greedy",
        "faiss_rq_beam_16": "FAISS RQ, beam 16",
    }
    return table(("", "µs"), [(said, f"{found[key]:.0f}") for key, said in names.items()])


def main_job() -> str:
    """Seconds, memory and quality of each kind of codes."""
    rows = []
    for row in results("main_job")["kinds"].values():
        codes = row["codes"]
        rows.append(
            (
                f"{codes['kind']} {codes['levels']}",
                f"{row['seconds_total']:.0f} s",
                f"{max(row['peak_bytes'].values()) / 1e9:.2f} GB",
                share(codes["relative_mse"]),
                share(codes["spearman"]),
                share(codes["recall_at_10"]),
            )
        )
    return table(("codes", "time", "peak memory", "relative MSE", "Spearman", "recall@10"), rows)


def labels() -> str:
    """Each kind's labels beside a linear probe on the whole vector."""
    kinds = [row["codes"] for row in results("main_job")["kinds"].values()]
    names = list(kinds[0]["label_probe"])
    rows = [
        (f"{codes['kind']} {codes['levels']}", *(share(codes["label_accuracy"][name]) for name in names))
        for codes in kinds
    ]
    return table(("", *names), [*rows, ("linear probe", *(share(kinds[0]["label_probe"][name]) for name in names))])


def student() -> str:
    """How fast, how alike."""
    found = results("student")
    rows = [
        (name.replace("_", " "), _ms(row["student_ms"]), _ms(row["two_stage_ms"]), f"{row['speedup']:.1f}×")
        for name, row in found["latency"].items()
    ]
    agreed = " / ".join(f"{value:.0%}" for value in found["agreement"])
    return (
        table(("", "student", "both stages", "speed"), rows)
        + f"\n\n{found['bytes'] / 1e6:.1f} MB; it gives {agreed} of held-out words their coordinates' code."
    )


def tuned_encoder() -> str:
    """Beside the plain one: families that it never saw, and people's judgements."""
    found = results("tuned_encoder")
    both = [found["plain"], found["tuned"]]
    sets = ("simlex-999", "simverb-3500", "ws-353-all", "mturk-771", "rg-65")
    rows = []
    for task, said in (("gloss_to_word", "gloss → word"), ("word_to_synonym", "word → synonym")):
        for key, figure in (("first", "first"), ("ten", "among ten"), ("mrr", "mean reciprocal rank")):
            rows.append((f"{said}, {figure}", *(share(of["held_out"][f"{task}_{key}"]) for of in both)))
    for name in sets:
        rows.append((f"Spearman, {name}", *(share(of["similarity"][name]) for of in both)))
    mean = (share(sum(of["similarity"][name] for name in sets) / len(sets)) for of in both)
    rows.append(("… mean of the five", *mean))
    rows.append(("Spearman, sentences of the STS benchmark, dev", *(share(of["sentences"]) for of in both)))
    words, training = found["plain"]["held_out"]["words"], found["training"]
    return (
        table(("", "plain", "tuned"), rows)
        + f"\n\nThe first six among {words:,.0f} words of families that training had no word and no gloss of. "
        f"{training['bytes'] / 1e6:.2f} MB, {training['seconds'] / 60:.0f} minutes of training."
    )


def shell() -> str:
    """What a command takes from its start to its end."""
    found = results("shell")
    rows = [(name, f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}") for name, row in found["commands"].items()]
    return (
        table(("", "on the CPU", "on the clock"), rows)
        + f"\n\nOn a run that knows {found['words']:,} words with {found['senses']:,} senses."
    )


def export() -> str:
    """Size and agreement of the default's packages."""
    rows = []
    for row in results("export")["rows"]:
        psnr, unknown = row["psnr_db"].get("vector"), row["unknown_equal"]
        equal = row["codes_equal"].get("id")
        rows.append(
            (
                ", ".join([row["target"], row["precision"], *([row["system"]] if row["system"] != "iOS17" else [])]),
                f"{row['bytes'] / 1e6:.1f} MB",
                "" if psnr is None else f"{psnr:.0f} dB",
                "" if equal is None else f"{equal:.1%}",
                "" if unknown is None else f"{unknown['id[:3]']:.1%}",
                "kept" if row["passes"] else "refused",
            )
        )
    return table(("package", "size", "PSNR against MLX", "equal IDs", "unknown texts that read alike", ""), rows)


def kit() -> str:
    """What an app waits for and holds, before there was a word table and since."""
    found = results("kit")
    before, after = found["before"]["bundles"], found["bundles"]
    said = {
        "open_ms": "opening manifest, words and tokenizer, ms",
        "nearest_ms": "the ten nearest words, ms",
        "look_up_us": "a known word's ID, µs",
        "tokens_us": "a text's tokens, µs",
        "peak_mb": "memory, at most, MB",
        "own_mb": "of it no file's, MB",
    }
    said_bytes = {"texts_and_ids_bytes": "words' texts and IDs, MB", "table_bytes": "all but model and manifest, MB"}
    columns = [of[kind] for kind in ("many", "default") for of in (before, after)]
    rows = [(name, *(f"{column[key]:.2f}" for column in columns)) for key, name in said.items()]
    rows += [(name, *(f"{column[key] / 1e6:.2f}" for column in columns)) for key, name in said_bytes.items()]
    many, default = (f"{row['words']:,} words, {row['vectors']:,} vectors" for row in (after["many"], after["default"]))
    int8, float16 = (f"{found['recall_at_10'][kind]:.1%}" for kind in ("int8", "float16"))
    return table(("", f"{many}: before", "after", f"{default}: before", "after"), rows) + (
        f"\n\nBefore is {found['before']['commit']}, in turns in the same run. Release builds, a process a start;\n"
        "memory is what the process holds beyond the program itself, pages of mapped files included.\n"
        f"Among 30,000 words, vectors of bytes keep {int8} of a word's ten nearest, and float16 {float16}:\n"
        "bytes are half as large, and stored."
    )


def dictionary() -> str:
    """The share of words with a gloss and the rest."""
    found = results("dictionary")
    sets = {"built-in words": "builtin", "lexicon": "lexicon", "lexicon, without WordNet's own files": "plain"}
    names = ("gloss", "part of speech", "example", "ipa", "ipa, predicted", "etymology")
    rows = [(said, *(f"{found[key][name]:.1%}" for name in names)) for said, key in sets.items()]
    return (
        table(("", *names), rows)
        + f"\n\nBy {', '.join(found['sources'])}. A process that loads it and looks one word up takes "
        + f"{found['cpu_seconds_first_entry']:.2f} s of CPU, Python's start included."
    )


def robustness() -> str:
    """What became of each reader's damaged inputs."""
    found = results("robustness")
    rows = [
        (name, *(f"{row[key]:,}" for key in ("inputs", "refused", "accepted", "undocumented")))
        for name, row in found.items()
        if isinstance(row, dict) and "inputs" in row
    ]
    return table(("reader", "inputs", "refused in one line", "taken", "anything else"), rows)


def mutation() -> str:
    """Killed and lived, a folder."""
    found: dict[str, Any] = results("mutation")
    rows = [(name, *_killed(row)) for name, row in found["folders"].items()]
    rows += [("all", *_killed(found)), (f"all, before ({found['before']['commit']})", *_killed(found["before"]))]
    return table(("folder", "mutants", "killed", "share"), rows)


def _killed(row: dict[str, Any]) -> tuple[str, ...]:
    return f"{row['mutants']}", f"{row['killed']}", f"{row['killed'] / row['mutants']:.0%}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.1f} ms"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(Path(FILE).name)
