"""Perplexity per token, word and byte, and bits per byte, of a model on texts or on answers to prompts.

With NLL the summed negative log-likelihood in nats (Jelinek et al., 1977, Perplexity: a measure of the
difficulty of speech recognition tasks):

    token perplexity = exp(NLL / tokens)      depends on the tokenizer: compare only within one
    word perplexity  = exp(NLL / words)       words: maximal runs without white space
    byte perplexity  = exp(NLL / bytes)       bytes: of the UTF-8 text
    bits per byte    = NLL / (ln 2 * bytes)   Gao et al. (2020), The Pile, section 3.1

Of a conversation only the answer is scored, given its prompt, its end-of-sequence token included (in NLL and
tokens; it has no words or bytes). Of plain text everything is scored, in windows of the model's context that
overlap by half, each token once and with at least half a context before it where the text has that much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.bootstrap import FloatArray, Measure, ratio
from evaluation.corpora import kind_of, load_references, read_jsonl, read_text
from evaluation.errors import EvaluationError
from evaluation.local import LocalModel, prompt_ids
from evaluation.prompts import Conversation, as_conversation, is_message

DEFINITION = (
    "NLL: summed negative log-likelihood in nats; of a conversation, that of the answer and its\n"
    "end-of-sequence token, given the prompt. Words are runs without white space, bytes those of the\n"
    "UTF-8 text; the end-of-sequence token counts as a token only."
)
_WORD_START = re.compile(r"(?<!\S)\S")
_TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class Passage:
    """What is scored in one piece: plain text, or an answer where there is a prompt."""

    text: str
    prompt: Conversation | None = None


@dataclass(frozen=True)
class _Window:
    """Token ids for one forward pass; the last `scored` of them count."""

    ids: list[int]
    scored: int
    words: int
    bytes: int


def load_passages(path: Path) -> list[Passage]:
    """Passages from JSONL (`messages`, `text`, or `input` with references), E2E CSV, or a text file.

    Raises EvaluationError naming the line of the first row of another form.
    """
    kind = kind_of(path)
    if kind == "text":
        return [Passage(read_text(path))]
    if kind == "jsonl":
        passages = [p for number, row in read_jsonl(path) for p in _from_row(f"{path}:{number}", row)]
        if not passages:
            raise EvaluationError(f"{path}: nothing to score in it")
        return passages
    found = load_references(path)
    return [
        Passage(text, as_conversation(source))
        for source, group in zip(found.inputs or [], found.groups, strict=True)
        for text in group
    ]


def measure_perplexity(local: LocalModel, passages: Sequence[Passage]) -> list[Measure]:
    """Token, word and byte perplexity and bits per byte over all passages; rows are windows.

    Raises EvaluationError for an answer that does not fit the context and where there is nothing to score.
    """
    windows = [w for number, p in enumerate(passages, start=1) for w in _windows(local, p, number)]
    if not windows or not sum(w.bytes for w in windows):
        raise EvaluationError("nothing to score: the passages hold no text")
    nll = _negative_log_likelihoods(local, windows)
    rows = np.array(
        [[loss, w.scored, w.words, w.bytes] for loss, w in zip(nll, windows, strict=True)], dtype=np.float64
    )

    def perplexity(column: int) -> Measure:
        unit = ("token", "word", "byte")[column - 1]

        def combine(sums: FloatArray) -> FloatArray:
            with np.errstate(over="ignore"):
                return np.exp(ratio(sums[:, 0], sums[:, column]))

        return Measure(
            f"perplexity_{unit}", f"{unit} perplexity", "1", f"exp(NLL / {unit}s)", rows, combine, False
        )

    bits = Measure(
        "bits_per_byte", "bits per byte", "bits", "NLL / (ln 2 * bytes)", rows,
        lambda sums: ratio(sums[:, 0], sums[:, 3]) / math.log(2), False,
    )  # fmt: skip
    return [*(perplexity(column) for column in (1, 2, 3)), bits]


def _from_row(where: str, row: dict[str, object]) -> list[Passage]:
    messages, text, source = row.get("messages"), row.get("text"), row.get("input")
    if isinstance(text, str) and text.strip():
        return [Passage(text)]
    if isinstance(messages, list) and len(messages) > 1 and all(is_message(m) for m in messages):
        if messages[-1]["role"] == "assistant":
            return [Passage(messages[-1]["content"], messages[:-1])]
    elif isinstance(source, str):
        references = row.get("references", [row.get("reference")])
        if isinstance(references, list) and references and all(isinstance(r, str) and r for r in references):
            return [Passage(reference, as_conversation(source)) for reference in references]
    raise EvaluationError(
        f'{where}: expected "messages" that end with the assistant, "text", or "input" with "references"'
    )


def _windows(local: LocalModel, passage: Passage, number: int) -> Iterator[_Window]:
    if passage.prompt is not None:
        yield _answer_window(local, passage.prompt, passage.text, number)
        return
    encoded = local.tokenizer(passage.text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    # The start token gives the first real token something to follow; without one it cannot be scored.
    start = local.tokenizer.bos_token_id
    first = 0 if start is not None else 1
    sequence = [start, *ids] if start is not None else ids
    shift = len(sequence) - len(ids)
    ends = [end for _, end in offsets]
    step = max(1, local.context // 2)
    position = first + shift
    while position < len(sequence):
        # The first window may fill the context; later ones keep half of it as what came before.
        size = local.context - 1 if position == first + shift else step
        stop = min(len(sequence), position + size)
        a = ends[position - shift - 1] if position - shift > 0 else 0
        b = ends[stop - shift - 1]
        yield _Window(
            ids=sequence[max(0, stop - local.context) : stop], scored=stop - position,
            words=sum(a <= m.start() < b for m in _WORD_START.finditer(passage.text, a, b)),
            bytes=len(passage.text[a:b].encode()),
        )  # fmt: skip
        position = stop


def _answer_window(local: LocalModel, prompt: Conversation, answer: str, number: int) -> _Window:
    before = prompt_ids(local, prompt)
    whole = [*prompt, {"role": "assistant", "content": answer}]
    rendered: str = local.tokenizer.apply_chat_template(whole, tokenize=False)
    opening: str = local.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    if not rendered.startswith(opening):
        raise EvaluationError(
            "the chat template renders an answered prompt differently; cannot score answers"
        )
    after = list(local.tokenizer(rendered[len(opening) :], add_special_tokens=False)["input_ids"])
    if len(before) + len(after) > local.context:
        raise EvaluationError(
            f"passage {number}: {len(before)} prompt and {len(after)} answer tokens do not fit the context "
            f"of {local.context} tokens"
        )
    return _Window([*before, *after], len(after), len(answer.split()), len(answer.encode()))


def _negative_log_likelihoods(local: LocalModel, windows: Sequence[_Window]) -> list[float]:
    import torch
    from tqdm import tqdm

    losses = [0.0] * len(windows)
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids), reverse=True)
    with tqdm(total=len(windows), unit="passage", dynamic_ncols=True) as bar:
        while order:
            size = max(1, _TOKENS_PER_BATCH // len(windows[order[0]].ids))
            batch, order = order[:size], order[size:]
            width = len(windows[batch[0]].ids)
            ids = torch.zeros((len(batch), width), dtype=torch.long)  # (batch, width), padded on the right
            mask = torch.zeros_like(ids)
            for row, index in enumerate(batch):
                ids[row, : len(windows[index].ids)] = torch.tensor(windows[index].ids)
                mask[row, : len(windows[index].ids)] = 1
            ids, mask = ids.to(local.model.device), mask.to(local.model.device)
            with torch.inference_mode():
                logits = local.model(ids, attention_mask=mask).logits[:, :-1].float()
                each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            for row, index in enumerate(batch):
                end = len(windows[index].ids) - 1
                losses[index] = float(each[row, end - windows[index].scored : end].double().sum())
            bar.update(len(batch))
    return losses
