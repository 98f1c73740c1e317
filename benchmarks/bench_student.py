"""The student beside the two-stage path that it learnt from: agreement, labels, bytes, milliseconds.

    wotd-mlx train --student && python -m benchmarks.bench_student [--run runs/default]

Agreement and label accuracy are those of ``metrics.json``, on held-out words; latencies are measured here, in turns.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.timing import alternate, write_results
from wotd_mlx import SemanticEncoder
from wotd_mlx.words.builtin import load_builtin


def latency(run: str) -> dict[str, Any]:
    """Milliseconds, text → ID, for one word and many, of both encoders on the run."""
    teacher, student = SemanticEncoder.load(run), SemanticEncoder.load(run, encoder="student")
    words = [word.text for word in load_builtin().words]
    bulk = [word.text for word in load_builtin().lexicon[5000:9000]]
    out = {}
    for name, (texts, repeats) in {
        "1_word": (words[:1], 300),
        "256_words": (words[:256], 30),
        "4000_words": (bulk, 7),
    }.items():
        calls = {"student": lambda t=texts: student.encode(t), "teacher": lambda t=texts: teacher.encode(t)}
        found = alternate(calls, repeats)
        out[name] = {
            "student_ms": found["student"] * 1e3,
            "two_stage_ms": found["teacher"] * 1e3,
            "speedup": found["teacher"] / found["student"],
        }
    return out


def main() -> None:
    """Measure on a finished run with a student, write benchmarks/results/student.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default", help="a finished run, trained with --student")
    run = parser.parse_args().run
    coder = SemanticEncoder.load(run, encoder="student")
    metrics = coder.run.read_json(coder.run.metrics)
    figures = {
        "codes": metrics["codes"]["kind"],
        "levels": list(coder.levels),
        **metrics["student"],
        "teacher_label_accuracy": metrics["codes"]["label_accuracy"],
        "training_seconds": metrics["seconds"]["student"],
        "latency": latency(run),
    }
    write_results("student", figures)


if __name__ == "__main__":
    main()
