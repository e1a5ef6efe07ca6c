"""The alignment jobs as a person runs them: to the end, interrupted and resumed, with bad input."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.fixtures.tiny_training import pairs, write_data, write_home
from training.__main__ import main
from training.alignment import preference, reward_job, rlhf, runs
from training.alignment.assess import assess_greedy
from training.alignment.config import PreferenceConfig, RewardModelConfig, RlhfConfig
from training.alignment.errors import AlignmentDiverged, AlignmentError
from training.alignment.reward_model import load_reward_model
from training.alignment.tasks import REWARD_HEAD, dev_inputs, load_start
from training.checkpoint import CheckpointError
from training.config import SftConfig
from training.curriculum.records import read_records
from training.examples import ExamplesError
from training.layout import LayoutError
from training.loop import Interrupted
from training.outcome import Outcome
from training.sft import sft

pytestmark = pytest.mark.integration

SMALL = {"inputs": 20, "answers": 4, "min_margin": 0.01, "held_out": 0.3, "sampling": {"max_new_tokens": 24}}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a model that answers it, not well."""
    folder = write_home(tmp_path_factory.mktemp("alignment"))
    values = {
        "from": str(folder / "base"), "data": str(folder / "data"), "output": str(folder / "sft"),
        "max_steps": 60, "mlflow": False, "threads": 1, "precision": "fp32", "compile": "never",
        "batch": {"row_tokens": 64, "rows": 8}, "optimizer": {"lr": 0.01},
    }  # fmt: skip
    sft(SftConfig.from_dict(values, "test"))
    return folder


def shared(work: Path, output: str, **changes: Any) -> dict[str, Any]:
    return {
        "from": str(work / "sft"), "data": str(work / "data"), "output": str(work / output), "mlflow": False,
        "threads": 1, "row_tokens": 96, "rows": 4, "optimizer": {"lr": 3e-3, "weight_decay": 0},
        "checkpoint": {"every": 2}, **changes,
    }  # fmt: skip


def preference_settings(work: Path, output: str, **changes: Any) -> PreferenceConfig:
    judge = {"resamples": 200, "max_new_tokens": 24}
    values = shared(work, output, make=SMALL, judge=judge, epochs=4, **changes)
    return PreferenceConfig.from_dict(values, "test")


def rlhf_settings(work: Path, output: str, **changes: Any) -> RlhfConfig:
    judge = {"resamples": 200, "max_new_tokens": 24}
    small = {"steps": 4, "prompts": 4, "answers": 4, "sampling": {"max_new_tokens": 24}, "judge": judge}
    return RlhfConfig.from_dict(shared(work, output, **{**small, **changes}), "test")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def test_dpo_learns_its_pairs_and_writes_what_the_comparison_reads(work: Path) -> None:
    result = preference.align_preference(preference_settings(work, "dpo"))
    steps = [json.loads(line) for line in (work / "dpo/metrics.jsonl").read_text().splitlines()]
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)  # policy and reference are the same
    assert steps[-1]["loss"] < 0.6
    assert result["dev_before"]["loss"] == pytest.approx(0.6931, abs=1e-3)
    outcome = Outcome.read(work / "dpo")
    assert (outcome.technique, outcome.family) == ("dpo", "alignment")
    names = {"kl", "win_rate", "win_low", "win_high", "reward_start", "reward_end", "judge"}
    assert names <= outcome.details.keys()
    asked = {json.loads(line)["input"] for line in (work / "data/references-dev.jsonl").open()}
    assert outcome.figures[0].n == len(asked)
    (record,) = read_records(work / "dpo")
    assert record.answers().keys() == asked  # so that the comparison can test it in pairs
    assert AutoModelForCausalLM.from_pretrained(work / "dpo/model").config.vocab_size == 320
    assert json.loads((work / "dpo/pairs/report.json").read_text())["pairs"]["dev"] > 0
    judge, policy = preference_settings(work, "dpo").judge, load_start(work / "dpo").model
    quick = assess_greedy(policy, load_start(work / "sft"), dev_inputs(work / "data"), judge, 1)
    assert quick["win_rates_greedy"] == result["win_rates_greedy"]
    again = preference.align_preference(preference_settings(work, "dpo"))
    assert again["finished_at"] == result["finished_at"]  # nothing is done twice


@pytest.mark.parametrize("loss", ["ipo", "kto", "orpo"])
def test_the_relatives_run_on_the_same_pairs(work: Path, loss: str) -> None:
    if not (work / "dpo/pairs").is_dir():
        preference.align_preference(preference_settings(work, "dpo"))
    found = work / "dpo/pairs"
    preference.align_preference(preference_settings(work, loss, loss=loss, pairs=str(found)))
    steps = [json.loads(line) for line in (work / loss / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert Outcome.read(work / loss).technique == loss


def test_an_interrupted_dpo_ends_with_the_same_bits(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = preference_settings(work, "whole")
    preference.align_preference(whole)
    cut = preference_settings(work, "cut")
    real = runs.update

    def stop_at_three(*values: Any) -> float:
        if values[3] == 3:
            raise Interrupted(3, cut.output, 15)
        return real(*values)

    monkeypatch.setattr(preference, "update", stop_at_three)
    with pytest.raises(Interrupted):
        preference.align_preference(cut)
    monkeypatch.setattr(preference, "update", real)
    preference.align_preference(cut)
    expected, found = weights(whole.output), weights(cut.output)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_checkpoint_of_other_settings_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*values: Any) -> None:
        raise Interrupted(4, work, 15)

    monkeypatch.setattr(preference, "finish", stop)
    with pytest.raises(Interrupted):
        preference.align_preference(preference_settings(work, "other"))
    with pytest.raises(CheckpointError, match=r"beta: 0\.1 -> 0\.5"):
        preference.align_preference(preference_settings(work, "other", beta=0.5))


def test_a_reward_model_tells_pairs_apart_and_reads_in_transformers(work: Path) -> None:
    values = shared(work, "reward", make=SMALL, epochs=8)
    result = reward_job.train_reward_model(RewardModelConfig.from_dict(values, "test"))
    assert result["accuracy_low"] < result["accuracy"] <= 1
    steps = [json.loads(line) for line in (work / "reward/metrics.jsonl").read_text().splitlines()]
    assert steps[-1]["loss"] < steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    ours = load_reward_model(work / "reward", work / "sft/model")
    theirs = AutoModelForSequenceClassification.from_pretrained(work / "reward/model", dtype=torch.float32)
    tokens = torch.tensor([[1, 4, 30, 31, 5, 40, 41, 2]])
    visible = torch.ones(8, 8, dtype=torch.bool).tril()[None]
    with torch.no_grad():
        hidden = ours.trunk(tokens, torch.arange(8)[None], visible)
        torch.testing.assert_close(ours.score(hidden[:, -1]), theirs(tokens).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_rlhf_goes_on_where_it_was_and_ends_with_the_same_bits(
    work: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rlhf_settings(work, f"{algorithm}-whole", algorithm=algorithm)
    result = rlhf.align_rlhf(whole)
    assert result["sampled_answers"] == 4 * 4 * 4
    assert Outcome.read(whole.output).technique == algorithm
    cut = rlhf_settings(work, f"{algorithm}-cut", algorithm=algorithm)
    real = rlhf.take_step

    def stop_at_three(run: rlhf.Rlhf, step: int) -> dict[str, float]:
        if step == 3:
            raise Interrupted(3, cut.output, 15)
        return real(run, step)

    monkeypatch.setattr(rlhf, "take_step", stop_at_three)
    with pytest.raises(Interrupted):
        rlhf.align_rlhf(cut)
    monkeypatch.setattr(rlhf, "take_step", real)
    rlhf.align_rlhf(cut)
    expected, found = weights(whole.output), weights(cut.output)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_rlhf_on_a_reward_model_draws_proxy_and_gold(work: Path) -> None:
    if not (work / "reward/result.json").exists():
        values = shared(work, "reward", make=SMALL, epochs=8)
        reward_job.train_reward_model(RewardModelConfig.from_dict(values, "test"))
    settings = rlhf_settings(work, "proxy", algorithm="rloo", reward_model=str(work / "reward"), kl_coef=0)
    result = rlhf.align_rlhf(settings)
    curve = json.loads((work / "proxy/curve.json").read_text())
    assert len(curve["kl"]) == len(curve["gold_reward"]) == len(curve["proxy_smooth"]) == 4
    assert result["curve"] == curve["summary"]
    assert (work / "proxy/curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_policy_that_runs_away_is_stopped_with_a_reason(work: Path) -> None:
    settings = rlhf_settings(work, "away", kl_coef=0, max_kl=0.5, optimizer={"lr": 0.1, "weight_decay": 0})
    with pytest.raises(AlignmentDiverged, match=r"nats per answer from the start model \(max_kl = 0.5\)"):
        rlhf.align_rlhf(settings)
    assert not (work / "away/model").exists()


def test_a_loss_that_is_no_number_stops_with_the_weights_as_they_were(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = preference.preference_loss
    monkeypatch.setattr(
        preference, "preference_loss", lambda *values: (real(*values)[0] * float("nan"), real(*values)[1])
    )
    with pytest.raises(AlignmentDiverged, match=r"dpo diverged at step 1: loss nan.*--fresh"):
        preference.align_preference(preference_settings(work, "nan"))


def test_answers_that_never_end_or_never_differ_are_refused(work: Path) -> None:
    random = str(work / "base")
    with pytest.raises(AlignmentError, match="ended with the end token"):
        rlhf.align_rlhf(rlhf_settings(work, "endless", **{"from": random, "sampling": {"max_new_tokens": 2}}))
    equal = {**SMALL, "sampling": {"max_new_tokens": 24, "temperature": 1e-4}}
    settings = preference_settings(work, "equal").model_dump(mode="json", by_alias=True) | {"make": equal}
    with pytest.raises(AlignmentError, match=r"no two sampled answers.*min_margin"):
        preference.align_preference(PreferenceConfig.from_dict(settings, "test"))


def test_a_tokenizer_without_an_end_token_is_refused(work: Path, tmp_path: Path) -> None:
    for file in (work / "sft/model").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("eos_token")
    path.write_text(json.dumps(config))
    with pytest.raises(ExamplesError, match="no eos token"):
        preference.align_preference(preference_settings(work, "no-eos", **{"from": str(tmp_path)}))


def test_a_policy_is_no_reward_model_and_a_reward_model_no_policy(work: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="is no reward model"):
        rlhf.align_rlhf(rlhf_settings(work, "wrong", reward_model=str(work / "sft")))
    copied = shutil.copytree(work / "sft/model", tmp_path / "scores")
    save_file(weights(work / "sft") | {REWARD_HEAD: torch.zeros(1, 32)}, copied / "model.safetensors")
    with pytest.raises(LayoutError, match="is a reward model, which gives no answers"):
        rlhf.align_rlhf(rlhf_settings(work, "wrong", **{"from": str(copied)}))
    tokenizer = json.loads((copied / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].reverse()
    (copied / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(AlignmentError, match="has another tokenizer than"):
        rlhf.align_rlhf(rlhf_settings(work, "wrong", reward_model=str(copied)))


def test_a_data_set_without_references_is_refused_before_anything_is_made(work: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", pairs())
    refused = pytest.raises(ExamplesError, match=r"references-dev\.jsonl: no such file")
    with refused:
        preference.align_preference(preference_settings(work, "unmeasured", data=str(data)))
    with refused:
        rlhf.align_rlhf(rlhf_settings(work, "unmeasured", data=str(data)))
    assert not (work / "unmeasured").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["dpo", "--set", "loss=dpoo"], "loss: Input should be 'dpo', 'ipo', 'kto' or 'orpo'"),
        (["dpo", "--set", "beeta=1"], "did you mean 'beta'"),
        (["dpo", "--pairs", "nowhere"], "pairs: nowhere: no such folder"),
        (["dpo", "--set", "row_tokens=16"], "pairs are longer than row_tokens = 16"),
        (["rlhf", "--set", "answers=1"], "answers must be at least 2"),
        (["rlhf", "--set", "row_tokens=16"], "every prompt is longer than"),
        (["rlhf", "--reward-model", "nowhere"], "nowhere: no model to start from"),
        (["reward", "--from", "nowhere"], "nowhere: no model to start from"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    work: Path, tmp_path: Path, options: list[str], text: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command, *rest = options
    known = ["--data", str(work / "data"), "--output", str(tmp_path), "--set", "mlflow=false"]
    small = ["--set", "make.inputs=6", "--set", "make.sampling.max_new_tokens=24"] if command == "dpo" else []
    start = [] if "--from" in rest else ["--from", str(work / "sft")]
    monkeypatch.setattr(sys, "argv", ["training", "align", command, *known, *small, *start, *rest])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert text in last
