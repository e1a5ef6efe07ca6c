"""METEOR, ROUGE-L and CIDEr as the MS-COCO caption evaluation computes them, which the E2E challenge used.

All three read the same PTB tokens (`evaluation.java.ptb_tokenize`). Chen et al. (2015), Microsoft COCO
Captions; METEOR 1.5: Denkowski and Lavie (2014), Meteor Universal; CIDEr: Vedantam et al. (2015), CIDEr:
Consensus-based Image Description Evaluation; ROUGE-L: Lin (2004), with beta 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from evaluation.bootstrap import FloatArray, Measure, mean_of
from evaluation.java import MeteorProcess, ptb_tokenize
from evaluation.metrics.overlap import Groups

_LENGTHS, _CHUNKS, _MATCHED = [0, 1], 20, [21, 22]
"""Places in METEOR's statistics: lengths of output and reference, chunks, matched words of both."""


def tokenize(hypotheses: Sequence[str], references: Groups) -> tuple[list[str], list[list[str]]]:
    """PTB tokens of everything in one run of the tokenizer. Raises JavaError."""
    flat = ptb_tokenize([*hypotheses, *(text for group in references for text in group)])
    tokens = iter(flat)
    return [next(tokens) for _ in hypotheses], [[next(tokens) for _ in group] for group in references]


def rouge_l(hypotheses: Sequence[str], references: Groups) -> Measure:
    """ROUGE-L in points (pycocoevalcap): best precision and best recall over references, beta 1.2."""
    scorer = Rouge()
    rows = [[100 * scorer.calc_score([h], list(r)), 1.0] for h, r in zip(hypotheses, references, strict=True)]
    return Measure(
        "rougeL", "ROUGE-L", "points",
        "pycocoevalcap (the published E2E figure), PTB tokens, mean over inputs",
        np.array(rows), mean_of,
    )  # fmt: skip


def cider(hypotheses: Sequence[str], references: Groups) -> Measure:
    """CIDEr-D, 0 to 10 (pycocoevalcap). Document frequencies come from these references.

    They stay fixed when inputs are resampled, so the interval is that of the per-input scores.
    """
    gts = {i: list(group) for i, group in enumerate(references)}
    _, scores = Cider().compute_score(gts, {i: [text] for i, text in enumerate(hypotheses)})
    return Measure(
        "cider", "CIDEr", "0-10",
        "pycocoevalcap CIDEr-D, PTB tokens, idf from these references, mean over inputs",
        np.array([[float(score), 1.0] for score in scores]), mean_of,
    )  # fmt: skip


def meteor(process: MeteorProcess, hypotheses: Sequence[str], references: Groups) -> Measure:
    """METEOR 1.5 in points, corpus level: the formula on the summed statistics of all inputs.

    The measure's `combine` asks the same process, so use it while `process` runs. Raises JavaError.
    """
    rows = np.array([process.statistics(h, r) for h, r in zip(hypotheses, references, strict=True)])
    # METEOR's own sum leaves out the single chunk of an output that matches its reference whole (no
    # fragmentation); with it the sum would be about 0.1 points too low.
    whole = (rows[:, _LENGTHS] == rows[:, _MATCHED]).all(axis=1) & (rows[:, _CHUNKS] == 1)
    rows[whole, _CHUNKS] = 0

    def combine(sums: FloatArray) -> FloatArray:
        return 100 * np.array(process.scores(sums.tolist()))

    return Measure(
        "meteor", "METEOR", "points",
        "METEOR 1.5 (-l en -norm) by pycocoevalcap's jar, PTB tokens, corpus level",
        rows, combine,
    )  # fmt: skip
