"""The reward model: a Llama trunk with one number per answer (Ouyang et al. 2022, arXiv 2203.02155).

Our own rather than TRL's RewardTrainer: the two answers of a pair share one copy of their prompt here, and
the loop, its checkpoints and its results are those of the other jobs. What is written is Hugging Face's
`LlamaForSequenceClassification` with one label, so that transformers, TRL and vLLM read it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.files import atomic_folder
from training.alignment.errors import AlignmentError
from training.alignment.sequences import AnswerRows, states_of
from training.alignment.tasks import REWARD_HEAD, scores_answers
from training.examples import ChatTokenizer
from training.layout import LayoutError, load_model, model_folder, save_model
from training.model import Llama
from training.packing import Batch


class RewardModel(nn.Module):
    """score(prompt, answer) = w . hidden state at the end of the answer, shifted and scaled."""

    def __init__(self, trunk: Llama, head: Tensor | None = None, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        self.trunk = trunk
        self.score = nn.Linear(trunk.config.hidden_size, 1, bias=False)
        # The scores of an untrained head are all 0, so that training starts at a loss of log 2.
        nn.init.zeros_(self.score.weight) if head is None else self.score.weight.data.copy_(head)
        self.mean, self.std = mean, std
        """Of the raw scores of held-out answers; rewards are given in these units."""

    def forward(self, batch: Batch, ends: Tensor) -> Tensor:
        """Raw scores [A]; `ends` [A] are the places of the answers' last tokens among the batch's N."""
        hidden, _ = states_of(self.trunk, batch)
        return self.score(hidden[ends])[:, 0]  # type: ignore[no-any-return]

    def rewards(self, batch: Batch, ends: Tensor) -> Tensor:
        """Scores in standard deviations from the mean of held-out answers, [A]."""
        raw: Tensor = self(batch, ends)
        return (raw - self.mean) / self.std


def with_end(answer: list[int], eos: int) -> list[int]:
    """An answer such that the state of its last token is among those that count.

    A packed row counts the states that predict a token; one more behind `</s>` makes its own state count.
    """
    return [*answer, eos]


def ends_of(answers: AnswerRows, numbers: Tensor) -> Tensor:
    """Where each answer's last token stands among a batch's N tokens, [A]."""
    return answers.lengths[numbers].cumsum(0) - 1


def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigmoid(score chosen - score rejected) of each pair, [B] (Bradley and Terry 1952)."""
    return -F.logsigmoid(chosen - rejected)


def save_reward_model(
    folder: Path, weights: dict[str, Tensor], trunk: Llama, tokenizer: ChatTokenizer, mean: float, std: float
) -> None:
    """Write the model folder; `weights` is the state dict of a RewardModel in float32."""
    with atomic_folder(folder) as part:
        plain = part / "plain"  # a causal model, to which the head is added
        save_model(
            plain, without_prefix(weights, "trunk."), trunk.config, tokenizer.folder, tokenizer.special
        )
        tensors = load_file(plain / "model.safetensors") | {REWARD_HEAD: weights[REWARD_HEAD]}
        save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((plain / "config.json").read_text(encoding="utf-8"))
        config |= {"architectures": ["LlamaForSequenceClassification"], "num_labels": 1}
        config |= {"id2label": {"0": "reward"}, "label2id": {"reward": 0}}
        config |= {"reward_mean": mean, "reward_std": std}
        (plain / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for file in plain.iterdir():
            file.replace(part / file.name)
        plain.rmdir()


def without_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix`, under the rest of their name."""
    return {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}


def load_reward_model(path: Path, tokenizer: Path) -> RewardModel:
    """The reward model of a run folder or model folder, which must read the tokens of `tokenizer` (a folder).

    Raises LayoutError where it is none, AlignmentError where it has another vocabulary.
    """
    folder = model_folder(path)
    if not scores_answers(folder):
        raise LayoutError(
            f"{path}: is no reward model (no {REWARD_HEAD}); `python -m training align reward` makes one"
        )
    if _vocabulary(folder) != _vocabulary(tokenizer):
        raise AlignmentError(
            f"{path}: the reward model has another tokenizer than {tokenizer}: it would read other words; "
            "train it from the same start model (`python -m training align reward --from …`)"
        )
    trunk = load_model(folder)
    head = load_file(folder / "model.safetensors")[REWARD_HEAD]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    mean, std = float(config.get("reward_mean", 0.0)), float(config.get("reward_std", 1.0))
    return RewardModel(trunk, head.float(), mean, std)


def _vocabulary(folder: Path) -> object:
    """What a tokenizer makes of texts."""
    try:
        return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError) as exc:
        raise LayoutError(f"{folder}: no readable tokenizer.json ({exc})") from exc


@torch.no_grad()
def rewards_of(model: RewardModel, answers: AnswerRows, rows_per_batch: int, device: torch.device) -> Tensor:
    """The reward of every answer by its number, [answers]; the answers were made by `with_end`."""
    found = torch.zeros(len(answers.lengths))
    rows = answers.epoch(0)
    for start in range(0, len(rows), rows_per_batch):
        batch, numbers = answers.batch(rows[start : start + rows_per_batch], device)
        found[numbers] = model.rewards(batch, ends_of(answers, numbers).to(device)).cpu()
    return found
