"""The page about distributed training, from invented results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.distributed.compare import CompareConfig, Compared, Variant, figures_of
from training.distributed.page import summary, write_page

pytestmark = pytest.mark.unit

CONFIG = Path(__file__).parents[3] / "training" / "configs" / "distributed-compare.yaml"


def compared(strategy: Any, workers: int, seed: int = 1, shift: float = 0.0, **more: Any) -> Compared:
    metrics: list[dict[str, Any]] = [
        {"step": step, "rows": 8 * step, "loss": 3 - step / 10 + shift} for step in range(1, 11)
    ]
    metrics[4]["dev_loss"], metrics[9]["dev_loss"] = 2.6 + shift, 2.1 + shift
    result = {
        "workers": workers, "steps": 10, "rows": 80, "tokens": 640, "dev_loss": 2.1 + shift,
        "timed_seconds": 4.0, "total_seconds": 9.0, "rows_per_second": 20.0 * workers, "device": "cpu",
        "parameters": 10_000, "peak_rss_bytes": 10**8, "per_worker": [{"state_bytes": 1e5}] * workers, **more,
    }  # fmt: skip
    name = f"{strategy}-{workers}-{seed}"
    variant = Variant(name=name, label=f"{strategy} <{workers}>", strategy=strategy)
    return Compared(variant, seed, seed != 1, result, metrics)


STALE: dict[str, Any] = {"staleness": {"mean": 0.9, "max": 2, "histogram": {"0": 1, "1": 7, "2": 2}}}
BUBBLE: dict[str, Any] = {
    "bubble_share": 0.4,
    "bubble_formula": 0.2,
    "bubble_imbalanced": 0.3,
    "micro_batches": 4,
}
RUNS = [
    compared("ddp", 1), compared("ddp", 1, seed=2, shift=0.02), compared("ddp", 2, shift=1e-5),
    compared("pipeline", 2, shift=-2e-5, **BUBBLE), compared("async", 2, shift=0.3, **STALE),
]  # fmt: skip


def test_noise_is_what_another_seed_changes_and_every_run_is_measured_by_the_first() -> None:
    figures = figures_of(RUNS)
    assert figures["seeds"] == [1, 2]
    assert figures["seed_spread"] == pytest.approx(0.02)
    assert [row["speed_up"] for row in figures["runs"]] == [1, 1, 2, 2, 2]
    assert figures["runs"][3]["largest_loss_difference"] == pytest.approx(2e-5)
    (start, rest), (_, stale) = summary(figures)
    assert "2 synchronous runs" in start
    assert "within 2.0e-05 nats" in rest
    assert "0.0200" in rest
    assert "staleness 0.90 on average, 2 at most; dev loss +0.3000" in stale
    assert figures_of(RUNS[:1])["seed_spread"] is None


def test_the_page_shows_every_run_and_only_the_plots_that_have_figures(tmp_path: Path) -> None:
    paths = write_page(tmp_path, RUNS, figures_of(RUNS))
    assert all(path.stat().st_size > 1000 for path in paths)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<svg") == page.count("<figure") == 5
    assert all(f'<span class="n">{each.run.name}</span>' in page for each in RUNS)
    assert "<2>" not in page, "labels are text, not HTML"
    write_page(tmp_path, RUNS[:1], figures_of(RUNS[:1]))
    assert (tmp_path / "index.html").read_text().count("<svg") == 1


def test_the_suite_is_read_whole_before_it_runs() -> None:
    config = CompareConfig.from_yaml(CONFIG)
    every = {run.name: config.settings_of(run) for run in config.runs}
    assert every["sync-4"].workers == 4
    assert every["pipeline-1"].pipeline.schedule == "gpipe"
    assert every["async-4-bound"].optimizer == every["sync-1"].optimizer
    assert len({str(each.tokenizer) for each in every.values()}) == 1
