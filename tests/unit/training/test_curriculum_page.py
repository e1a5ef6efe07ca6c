"""The comparison: aggregation over seeds, refusals, advice, and a page that needs nothing else."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from tests.fakes.outcomes import TABLE, outcome_of, write_suite
from training.curriculum.advise import Advisor
from training.curriculum.aggregate import combine, rows_of
from training.curriculum.figures import criteria
from training.curriculum.page import write_comparison
from training.curriculum.prices import PRICE_FILE, MachinePrice
from training.curriculum.records import read_records
from training.curriculum.significance import Paired, _mean
from training.outcome import Figure, OutcomeError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with its report."""
    folder = tmp_path_factory.mktemp("suite")
    write_suite(folder, {"lora": 3, "full": 3})
    write_comparison(folder / "runs", folder / "report")
    return folder


def bleu(value: float, half: float = 1.0) -> Figure:
    return Figure(metric="bleu", value=value, n=40, ci_low=value - half, ci_high=value + half)


def test_one_seed_keeps_its_interval_and_has_no_spread() -> None:
    found = combine([bleu(60.0)])
    assert (found.value, found.low, found.high, found.spread) == (60.0, 59.0, 61.0, None)


def test_seeds_add_their_spread_to_the_doubt_about_the_inputs() -> None:
    found = combine([bleu(59.0), bleu(60.0), bleu(61.0)])
    between = 4.3027 / math.sqrt(3)  # Student's t with 2 degrees, standard deviation 1
    assert found.spread == pytest.approx(1.0)
    assert found.high == pytest.approx(60 + math.hypot(1, between), abs=1e-3)
    assert combine([bleu(60.0)] * 3).high == pytest.approx(61.0), "equal seeds leave the inputs' part"


def test_time_counts_what_a_run_builds_on(suite: Path) -> None:
    rows = {row.key: row for row in rows_of(read_records(suite / "runs"))}
    assert rows["dpo"].whole_seconds == rows["dpo"].seconds + rows["full"].seconds + rows["base"].seconds
    assert rows["distil-logits"].whole_seconds > rows["full"].whole_seconds


def test_the_page_needs_nothing_else_and_names_every_technique(suite: Path) -> None:
    html = (suite / "report/index.html").read_text()
    assert "<script" not in html
    assert not re.search(r"@import|url\((?!#)|src=", html)
    assert all(entry[1] in html for entry in TABLE)
    for words in ("n=40", "seeds ±", "not measured", "What was not measured", "--method lora"):
        assert words in html
    assert (suite / "report/pareto-time.png").read_bytes().startswith(b"\x89PNG")


def test_advice_follows_from_the_figures(suite: Path) -> None:
    document = json.loads((suite / "report/comparison.json").read_text())
    advice = {item["need"]: item["answer"] for item in document["advice"]}
    assert advice["Best texts"].startswith("GRPO")
    assert advice["Preferences and rewards"].startswith("GRPO and DPO")
    assert "+2.8 BLEU" in advice["A small model to serve"]
    assert document["against_full"]["prompt"]["bleu"]["significant"]
    assert "full" not in document["against_full"]


def test_pairs_and_win_rates_are_over_all_seeds(suite: Path) -> None:
    document = json.loads((suite / "report/comparison.json").read_text())
    assert document["against_full"]["lora"]["bleu"]["seeds"] == [1, 2, 3]
    assert document["against_full"]["dora"]["bleu"]["seeds"] == [1]
    dpo = next(row for row in document["techniques"] if row["technique"] == "dpo")
    assert dpo["quality"]["win_rate"]["value"] == pytest.approx(dpo["details"]["win_rate"])


def test_a_difference_that_every_seed_sees_stands_and_one_that_changes_its_sign_does_not() -> None:
    def over(*differences: float) -> Paired:
        return _mean(
            [Paired("bleu", d, d - 1, d + 1, 0.01, 0.01, 40, (i,)) for i, d in enumerate(differences)]
        )

    steady, torn = over(2.0, 2.1, 1.9), over(3.0, -2.0, 0.5)
    assert steady.p < 0.01
    assert (steady.low or 0) > 0.9
    assert torn.p > 0.5
    assert (torn.low or 0) < 0 < (torn.high or 0)
    assert over(2.0).p == 0.01, "one seed keeps its test"


@pytest.mark.parametrize(
    ("bleu", "ser", "answer"),
    [
        (1.3, 3.3, "better by BLEU and worse by slot error rate"),
        (0.0, -2.0, "better by slot error rate"),
        (0.0, 0.0, "no difference can be told"),
    ],
)
def test_lora_is_judged_by_slot_errors_too(suite: Path, bleu: float, ser: float, answer: str) -> None:
    rows = rows_of(read_records(suite / "runs"))
    paired = {
        key: Paired(key, difference, None, None, 0.001, 0.001 if difference else 1.0, 40, (1,))
        for key, difference in (("bleu", bleu), ("ser", ser))
    }
    advisor = Advisor(rows, criteria(rows, MachinePrice.from_yaml(PRICE_FILE)), {"lora": paired})
    assert next(item.answer for item in advisor.advice() if item.need == "LoRA or full fine-tuning") == answer


def test_markdown_tables_have_even_rows(suite: Path) -> None:
    text = (suite / "report/comparison.md").read_text()
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_no_outcome_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutcomeError, match="no such folder"):
        read_records(tmp_path / "nowhere")
    with pytest.raises(OutcomeError, match=r"no outcome\.json below"):
        read_records(tmp_path)


def test_a_broken_outcome_is_named(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora/outcome.json").write_text("{")
    with pytest.raises(OutcomeError, match=r"lora/outcome\.json"):
        read_records(tmp_path)


def test_an_outcome_of_another_data_set_is_refused_and_named(tmp_path: Path) -> None:
    runs = write_suite(tmp_path, answers=False)
    outcome_of(tmp_path, tmp_path / "other", TABLE[2], 2).write(runs / "lora")
    with pytest.raises(OutcomeError, match=r"runs/lora/outcome\.json: measured on .*other"):
        read_records(runs)


def test_the_same_technique_and_seed_twice_is_refused(tmp_path: Path) -> None:
    runs = write_suite(tmp_path, answers=False)
    outcome_of(tmp_path, tmp_path / "data", TABLE[2], 1).write(runs / "copy-of-lora")
    with pytest.raises(OutcomeError, match="lora with seed 1 is also in"):
        read_records(runs)
