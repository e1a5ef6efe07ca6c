"""Curves of pretraining runs: what is read off a run folder, and the page that shows it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.fixtures.tiny_training import FOODS, NAMES, pairs, write_data, write_tokenizer
from training.labs.curves import CurveError, figures, read_curve, table
from training.labs.curves_page import smoothed, write_page

pytestmark = pytest.mark.unit

TEXTS = [f"{name} serves {food} food." for name in NAMES for food in FOODS]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain dev texts and a tokenizer."""
    folder = tmp_path_factory.mktemp("curves")
    dev = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    write_tokenizer(write_data(folder / "data", pairs(), dev), folder / "tokenizer")
    return folder


def write_run(prepared: Path, folder: Path, *, job: str = "pretrain", steps: int = 6) -> Path:
    """A run of six steps of which `steps` are done, evaluated at every second one."""
    folder.mkdir()
    identity = {
        "job": job, "data": str(prepared / "data"), "tokenizer": str(prepared / "tokenizer"), "seed": 1,
        "evaluation": {"every": 2},
    }  # fmt: skip
    facts = {"total_steps": 6, "parameters": 1000, "vocab_size": 320}
    (folder / "config.json").write_text(json.dumps({"identity": identity, "facts": facts}))
    done: list[dict[str, Any]] = [
        {"step": step, "tokens": 100 * step, "loss": 6.0 - step / 2, "seconds": float(step)}
        | ({"dev_loss": 6.5 - step / 2} if step % 2 == 0 else {})
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in done))
    samples = [
        {"step": step, "prompt": prompt, "answer": f"answer <{step}>", "reference": "so it was"}
        for step in range(2, steps + 1, 2)
        for prompt in ("Once", "Then")
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in samples))
    return folder


def test_bits_per_character_follow_from_loss_and_text(prepared: Path, tmp_path: Path) -> None:
    found = figures(read_curve(write_run(prepared, tmp_path / "run")))
    tokenizer = AutoTokenizer.from_pretrained(prepared / "tokenizer")
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in TEXTS)
    nats = 3.5 * tokens  # the dev loss of the last step, over all dev texts
    assert found["bits_per_character"] == pytest.approx(nats / math.log(2) / sum(map(len, TEXTS)))
    assert found["perplexity"] == pytest.approx(math.exp(3.5))
    assert [point["tokens"] for point in found["curve"]] == [200, 400, 600]
    assert found["finished"]


def test_a_run_under_way_is_shown_as_far_as_it_is(prepared: Path, tmp_path: Path) -> None:
    run = write_run(prepared, tmp_path / "run", steps=3)
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 4, "tok')  # a line that is being written
    curve = read_curve(run)
    assert not curve.finished
    assert (curve.last["step"], figures(curve)["tokens"]) == (2, 200)
    assert "under way" in table([figures(curve)])


def test_samples_are_shown_as_they_grew(prepared: Path, tmp_path: Path) -> None:
    grown = read_curve(write_run(prepared, tmp_path / "run")).grown()
    assert [(samples[-1]["prompt"], [sample["step"] for sample in samples]) for samples in grown] == [
        ("Once", [2, 4, 6]), ("Then", [2, 4, 6]),
    ]  # fmt: skip


def test_the_page_has_every_run_and_escapes_what_models_write(prepared: Path, tmp_path: Path) -> None:
    curves = [read_curve(write_run(prepared, tmp_path / name)) for name in ("books", "plays")]
    shutil.rmtree(tmp_path / "plays")  # all is read by now
    written = write_page(tmp_path / "page", curves)
    assert all(path.is_file() for path in written)
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.count("goes on</h2>") == 2
    assert "answer &lt;6&gt;" in page
    assert "answer <6>" not in page
    assert [row["run"] for row in json.loads((tmp_path / "page" / "result.json").read_text())] == [
        str(tmp_path / "books"), str(tmp_path / "plays"),
    ]  # fmt: skip


def test_a_training_curve_is_the_mean_of_neighbouring_steps() -> None:
    steps = [{"tokens": 10 * number, "loss": 2.0 + number % 2} for number in range(1, 2001)]
    tokens, losses = smoothed(steps)
    assert len(tokens) <= 100
    assert tokens == sorted(tokens)
    assert losses[-1] == pytest.approx(2.5, abs=0.02)


@pytest.mark.parametrize(
    ("job", "steps", "message"),
    [
        ("sft", 6, "this one is of sft"),
        ("pretrain", 1, "no dev loss yet; it comes every evaluation.every = 2"),
    ],
)
def test_what_has_no_curve_says_so(
    prepared: Path, tmp_path: Path, job: str, steps: int, message: str
) -> None:
    with pytest.raises(CurveError, match=message):
        read_curve(write_run(prepared, tmp_path / "run", job=job, steps=steps))


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(CurveError, match=f"{tmp_path}: no run of `python -m training pretrain`"):
        read_curve(tmp_path)
