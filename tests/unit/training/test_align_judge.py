"""The verifiable reward, the judges, and which of them counts."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from common.errors import ConfigError
from training.alignment.config import JudgeConfig, RewardConfig
from training.alignment.errors import AlignmentError
from training.alignment.judge import Judge, headline_judge, mean_with_interval, win_rates
from training.alignment.rewards import VerifiableReward
from training.alignment.tasks import TaskInput

pytestmark = pytest.mark.unit

PUB = TaskInput(
    "1",
    [{"role": "user", "content": "name[The Mill], eatType[pub], food[French], area[riverside]"}],
    ["The Mill is a French pub by the riverside.", "There is a riverside French pub, The Mill."],
)
QUESTION = TaskInput("2", [{"role": "user", "content": "What is it?"}], ["A pub."])
BARE = TaskInput("3", [{"role": "user", "content": "Say something."}], [])

WHOLE = "The Mill is a French pub by the riverside."
HALF = "The Mill is a pub."
WRONG = "The Mill is a Chinese pub by the riverside."


def test_slots_alone_count_errors_over_slots_asked_for() -> None:
    reward = VerifiableReward(RewardConfig(bleu=0), [PUB])
    assert reward(0, WHOLE) == 1
    assert reward(0, HALF) == pytest.approx(1 - 2 / 4)
    assert reward(0, WRONG) == pytest.approx(1 - 1 / 4)
    assert reward(0, "") == 0


def test_both_parts_are_weighted() -> None:
    reward = VerifiableReward(RewardConfig(slots=3, bleu=1), [PUB])
    metric = BLEU(lowercase=True, tokenize="13a", effective_order=True)
    overlap = metric.sentence_score(HALF, PUB.references).score / 100
    assert 0 < overlap < 1
    assert reward(0, HALF) == pytest.approx((3 * 0.5 + overlap) / 4)
    assert reward(0, WHOLE) == pytest.approx(1)


def test_an_answer_that_never_ended_gets_nothing() -> None:
    assert VerifiableReward(RewardConfig(), [PUB])(0, WHOLE, ended=False) == 0


def test_parts_that_an_input_does_not_allow_are_left_out() -> None:
    reward = VerifiableReward(RewardConfig(), [QUESTION, PUB])
    assert reward(0, "A pub.") == pytest.approx(1)
    assert reward.score(0, "A pub.").slot_errors is None


def test_nothing_to_verify_is_refused() -> None:
    with pytest.raises(AlignmentError, match="no input has a verifiable reward"):
        VerifiableReward(RewardConfig(), [BARE])
    with pytest.raises(AlignmentError, match="no input has a verifiable reward"):
        VerifiableReward(RewardConfig(bleu=0), [QUESTION])
    with pytest.raises(ConfigError, match="one of slots and bleu"):
        RewardConfig.from_dict({"slots": 0, "bleu": 0}, "here")


def test_judges_agree_with_their_rules() -> None:
    judge = Judge([PUB, PUB, PUB], tie_chrf=0.5)
    found = judge.compare([WHOLE, WRONG, WHOLE], [HALF, WHOLE, WHOLE])
    assert found["slots"].tolist() == [1, 0, 0.5]
    assert found["chrf"].tolist() == [1, 0, 0.5]
    # The same slots said in other words: slots tie, and chrF decides.
    other = "In the riverside area one finds a French pub which is called The Mill."
    found = Judge([PUB], tie_chrf=0.5).compare([other], [WHOLE])
    assert (found["slots"][0], found["chrf"][0], found["lexicographic"][0]) == (0.5, 0, 0)
    # Fewer errors win over more similar words.
    found = Judge([PUB], tie_chrf=0.5).compare([other], [WRONG])
    assert (found["slots"][0], found["chrf"][0], found["lexicographic"][0]) == (1, 0, 1)


def test_small_differences_of_chrf_are_ties() -> None:
    near = WHOLE.replace(" by ", " at ")
    assert Judge([PUB], tie_chrf=0).compare([near], [WHOLE])["chrf"][0] == 0
    assert Judge([PUB], tie_chrf=30).compare([near], [WHOLE])["chrf"][0] == 0.5


def test_win_rates_count_ties_half_and_carry_an_interval() -> None:
    inputs = [PUB] * 40
    first = [WHOLE] * 20 + [HALF] * 10 + [WHOLE] * 10
    second = [HALF] * 20 + [WHOLE] * 10 + [WHOLE] * 10
    rate = win_rates(Judge(inputs, 0.5).compare(first, second), 2000, 1)["slots"]
    assert (rate.wins, rate.ties, rate.losses) == (20, 10, 10)
    assert rate.rate == pytest.approx(25 / 40)
    # Standard error of the mean of the verdicts: about 0.0625 with these counts.
    error = np.std([1] * 20 + [0] * 10 + [0.5] * 10) / np.sqrt(40)
    assert rate.low == pytest.approx(rate.rate - 1.96 * error, abs=0.03)
    assert rate.high == pytest.approx(rate.rate + 1.96 * error, abs=0.03)


def test_a_model_against_itself_is_half() -> None:
    rate = win_rates(Judge([PUB] * 5, 0.5).compare([HALF] * 5, [HALF] * 5), 200, 1)["lexicographic"]
    assert (rate.rate, rate.low, rate.high) == (0.5, 0.5, 0.5)


def test_the_headline_judge_is_not_the_reward() -> None:
    everything = Judge([PUB], 0.5).judges
    assert headline_judge(JudgeConfig(), RewardConfig(), everything) == "chrf"
    assert headline_judge(JudgeConfig(), RewardConfig(bleu=0), everything) == "chrf"
    assert headline_judge(JudgeConfig(), RewardConfig(slots=0), everything) == "slots"
    assert headline_judge(JudgeConfig(by="lexicographic"), RewardConfig(), everything) == "lexicographic"
    assert Judge([QUESTION], 0.5).judges == ("chrf",)
    with pytest.raises(AlignmentError, match="slots cannot judge"):
        headline_judge(JudgeConfig(by="slots"), None, ("chrf",))
    with pytest.raises(AlignmentError, match="nothing can be judged"):
        _ = Judge([BARE], 0.5).judges


def test_one_number_is_its_own_interval() -> None:
    found = mean_with_interval([0.25], 200, 1)
    assert (found.mean, found.low, found.high, found.n) == (0.25, 0.25, 0.25, 1)
