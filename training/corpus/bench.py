"""`python -m training corpus bench`: rows per second and peak memory on a corpus made on the spot."""

from __future__ import annotations

import random
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

from training.corpus.config import CorpusConfig
from training.corpus.prepare import prepare

_SYLLABLES = ("ba", "ren", "to", "li", "mar", "ke", "sun", "do", "vi", "pel", "ar", "nos", "ti", "gra", "hem")
_COMMON = ("the", "of", "and", "to", "that", "with", "have", "be", "in", "was", "it", "for", "on", "as", "at")
_WORDS_PER_SENTENCE = (8, 24)
_SENTENCES_PER_PARAGRAPH = (3, 8)
_REPEATED = 0.05
"""Share of paragraphs that an earlier one repeats: near-duplicate removal has something to find."""


def write_text(path: Path, megabytes: int, seed: int) -> None:
    """A text of about `megabytes` MB: Zipf-distributed invented words among common English ones."""
    rng = random.Random(seed)
    rare = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(30_000)]
    cumulative = list(accumulate(1 / (rank + 10) for rank in range(len(rare))))
    written, before = 0, ""
    with path.open("w", encoding="utf-8") as stream:
        while written < megabytes * 1_000_000:
            paragraph = before if before and rng.random() < _REPEATED else _paragraph(rng, rare, cumulative)
            before = paragraph
            written += stream.write(paragraph + "\n\n")


def _paragraph(rng: random.Random, rare: list[str], cumulative: list[float]) -> str:
    sentences = []
    for _ in range(rng.randint(*_SENTENCES_PER_PARAGRAPH)):
        count = rng.randint(*_WORDS_PER_SENTENCE)
        words = [
            rng.choice(_COMMON) if rng.random() < 0.45 else word
            for word in rng.choices(rare, cum_weights=cumulative, k=count)
        ]
        sentences.append(" ".join(words).capitalize() + ".")
    return " ".join(sentences)


def bench(megabytes: int, workers: int | None, folder: Path, seed: int = 1) -> dict[str, Any]:
    """Prepare a made corpus below `folder`; returns rows, rows/s and peak memory of the process tree."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".bench.") as work:
        text = Path(work) / "text.txt"
        write_text(text, megabytes, seed)
        source = {"name": "made", "reader": "books", "path": str(text), "licence": "none", "lang": "en"}
        config = CorpusConfig.from_dict(
            {"name": "bench", "sources": [source], "output": work, "workers": workers, "seed": seed}, "bench"
        )
        started = time.monotonic()
        report = prepare(config, force=True).report
        seconds = time.monotonic() - started
    rows = report["stages"][1]["out"]
    return {
        "megabytes": megabytes, "workers": workers, "rows": rows, "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds, 1), "peak_memory_bytes": report["peak_memory_bytes"],
        "stages": report["stages"],
    }  # fmt: skip
