"""The tables of docs/benchmarks.md about what vectors and IDs mean, from benchmarks/results/meaning.json."""

from __future__ import annotations

from typing import Any

from scripts.tables import results, share, table

_ALL = "mean of five"


def meaning() -> str:
    """All of them, each with a line that says what it is."""
    found = results("meaning")
    parts = [_labels(found), _vectors(found), _sentences(found), _prediction(found), _find(found)]
    return "\n\n".join(part for part in parts if part)


def _labels(found: dict[str, Any]) -> str:
    told, asked, before = found["labels"], found["asked_for_beautiful"], found["before"]
    rows = [
        ("labelled words whose ID reads as all their labels", told["metrics"]["labels_read_back"], "labels_read_back"),
        (
            "the same by the model alone, some of them its training words",
            told["labels_read_back_without_the_table"],
            "",
        ),
        (
            "an ID stands for a vector that its own word is nearest to",
            told["metrics"]["own_word_first"],
            "own_word_first",
        ),
        (
            f"asked {asked['times']} times for beautiful words, never for one twice: evidence says so",
            asked["beautiful_while_known_words_last"],
            "asked_for_beautiful",
        ),
    ]
    about = f"{told['labelled_words']:,} of {found['words']:,} words are labelled; before is {before['commit']}.\n\n"
    cells = [(said, f"{now:.1%}", f"{before[key]:.0%}" if key else "") for said, now, key in rows]
    return about + table(("", "now", "before"), cells)


def _vectors(found: dict[str, Any]) -> str:
    if "similarity" not in found:
        return ""
    sets = [name for name in next(iter(next(iter(found["similarity"].values())).values())) if name != "mean"]
    rows = []
    for model, recipes in found["similarity"].items():
        for recipe, row in recipes.items():
            near = found.get("confusion", {}).get(model, {}).get(recipe)
            beside = (f"{near['alike_and_unrelated']:.1%}", f"{near['ten_nearest_related']:.0%}") if near else ("", "")
            rows.append((f"{model}: {recipe}", share(row["mean"]), *(share(row[name]) for name in sets), *beside))
    head = ("", _ALL, *sets, "look-alike nearest", "related among ten")
    about = (
        "Spearman's ρ with people's scores; the share of glossed words whose nearest word of another family is alike\n"
        "in spelling (1 − Levenshtein / the longer word's length ≥ .6) and unrelated in WordNet; and the share of\n"
        "related words among the ten nearest.\n\n"
    )
    return about + table(head, rows)


def _sentences(found: dict[str, Any]) -> str:
    if "sentences" not in found:
        return ""
    rows = [(name, share(value)) for name, value in found["sentences"].items()]
    return "STS-B's development part, Spearman's ρ.\n\n" + table(("sentences", "ρ"), rows)


def _prediction(found: dict[str, Any]) -> str:
    told = found["prediction"]
    kinds = [kind for kind, row in told.items() if isinstance(row, dict) and kind != "linear probe"]
    rows = []
    for name in told[kinds[0]]:
        for kind in kinds:
            row = told[kind][name]
            rows.append(
                (
                    f"{name}, {kind}",
                    share(row["balanced_accuracy"]),
                    *(share(probe[name]) for probe in told["linear probe"].values()),
                    share(row["ece"]),
                    f"{row['told']:.0%}",
                    f"{row['right_of_told']:.0%}",
                )
            )
    head = (
        "",
        "balanced accuracy",
        *(f"probe, {kind}" for kind in told["linear probe"]),
        "ECE",
        "told",
        "right of told",
    )
    about = (
        f"Labels of words whose families were kept out, in {told['folds']} folds of {told['words']:,} words: as words\n"
        "with glosses, and through the map, as words that no dictionary has. A probe is linear, on whole vectors.\n\n"
    )
    return f"{about}{table(head, rows)}\n\n![Reliability of the probabilities](../benchmarks/results/calibration.png)"


def _find(found: dict[str, Any]) -> str:
    if "find" not in found:
        return ""
    told = found["find"]
    rows = [
        (way, f"{row['median_rank']:.0f}", *(f"{row[f'top_{n}']:.1%}" for n in (1, 10, 100)))
        for way, row in sorted(told["ways"].items(), key=lambda item: item[1]["top_10"])
    ]
    about = (
        f"The word that {told['definitions']:,} definitions of GCIDE mean, which no vector knows, among "
        f"{told['candidates']:,} words, one a family.\n\n"
    )
    return about + table(("", "median rank", "first", "among 10", "among 100"), rows)
