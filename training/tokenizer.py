"""The tokenizer: byte-level BPE (Sennrich et al., 2016; Radford et al., 2019) with the chat template inside.

GPT-2's pre-tokenizer and no post-processor: every runtime of the three roads (transformers, vLLM,
onnxruntime-genai) reads this form, and none of them adds a token or a leading space that the others do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import TriviumError
from common.files import atomic_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# The ids are part of the contract (docs/architecture.md): 0 to 5 in this order.
PAD, BOS, EOS, SYSTEM, USER, ASSISTANT = "<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (PAD, BOS, EOS, SYSTEM, USER, ASSISTANT)

# Measured on the dev answers (training split as training data; tokens per answer, bytes per token):
#
#   size    E2E            built-in corpus
#    512    40.05  3.07    45.45  2.45
#   1024    26.48  4.64    25.34  4.39
#   1536    25.37  4.84    24.41  4.55   (the built-in corpus has no more than 1,247 entries to give)
#   2048    25.16  4.88    24.41  4.55
#   3072    25.02  4.91
#   4096    24.99  4.91
#
# Beyond 2,048 a doubling saves less than 1 % of the tokens and costs a small model a third of its parameters.
DEFAULT_VOCAB_SIZE = 2_048
SMALLEST_VOCAB_SIZE = len(SPECIAL_TOKENS) + 256

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'system' %}{{ '<|system|>' + message['content'] }}"
    "{% else %}{{ raise_exception('unknown role ' + message['role'] + '; known: system, user, assistant') }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


class TokenizerError(TriviumError):
    """The tokenizer cannot be trained with these settings or this data."""


@dataclass(frozen=True, slots=True)
class TokenizerReport:
    """How well a vocabulary fits a text. Fertility: tokens per word, words being split at white space."""

    vocab_size: int
    answers: int
    tokens_per_answer: float
    tokens_per_prompt: float
    fertility: float
    bytes_per_token: float


def train_tokenizer(
    data: Path, output: Path, vocab_size: int = DEFAULT_VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """Train on the training split of the prepared data set `data` and save in Hugging Face layout at
    `output`.

    The same data and size give the same files. Raises TokenizerError where `vocab_size` cannot hold the
    bytes and special tokens, DataError where `data` is no prepared data set.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < SMALLEST_VOCAB_SIZE:
        raise TokenizerError(
            f"vocab_size {vocab_size}: must be at least {SMALLEST_VOCAB_SIZE}, the 256 bytes and "
            f"{len(SPECIAL_TOKENS)} special tokens"
        )
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator(_texts(data), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, bos_token=BOS, eos_token=EOS, chat_template=CHAT_TEMPLATE,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    with atomic_folder(output) as folder:
        tokenizer.save_pretrained(folder)
    return tokenizer


def measure(tokenizer: PreTrainedTokenizerFast, data: Path, split: str = "dev") -> TokenizerReport:
    """Figures of `tokenizer` on a split it was not trained on (`dev`), answers and prompts counted apart."""
    from training.data.rows import load_split

    answers: list[str] = []
    prompts: list[str] = []
    for row in load_split(data, split):
        if row.get("messages"):
            *before, last = row["messages"]
            prompts.extend(m["content"] for m in (before if last["role"] == "assistant" else row["messages"]))
            answers.extend([last["content"]] if last["role"] == "assistant" else [])
        else:
            answers.append(row["text"])
    if not answers:
        raise TokenizerError(f"{data}: the {split} split has no answers to measure on")
    counts = [len(ids) for ids in tokenizer(answers, add_special_tokens=False)["input_ids"]]
    prompt_counts = (
        [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]] if prompts else [0]
    )
    tokens = sum(counts)
    return TokenizerReport(
        vocab_size=len(tokenizer),
        answers=len(answers),
        tokens_per_answer=round(tokens / len(answers), 2),
        tokens_per_prompt=round(sum(prompt_counts) / len(prompt_counts), 2),
        fertility=round(tokens / sum(len(text.split()) for text in answers), 3),
        bytes_per_token=round(sum(len(text.encode()) for text in answers) / tokens, 3),
    )


def tokenizer(
    data: Annotated[Path, typer.Option(help="folder of a prepared data set, for example data/demo")],
    output: Annotated[Path, typer.Option(help="folder to write, Hugging Face layout")],
    vocab_size: Annotated[
        int, typer.Option(help="entries, special tokens and 256 bytes included")
    ] = DEFAULT_VOCAB_SIZE,
) -> None:
    """Train the tokenizer on a prepared data set and report how well it fits."""
    trained = train_tokenizer(data, output, vocab_size)
    report = measure(trained, data)
    print(f"vocabulary        {report.vocab_size:,} entries, in {output}")
    print(f"tokens per answer {report.tokens_per_answer} (n = {report.answers:,} dev answers)")
    print(f"tokens per prompt {report.tokens_per_prompt}")
    print(f"fertility         {report.fertility} tokens per word")
    print(f"compression       {report.bytes_per_token} bytes per token")


def _texts(data: Path) -> Iterator[list[str]]:
    """The text of each training row, batch by batch."""
    from training.data.rows import load_split

    for batch in load_split(data, "train").iter(1_000):
        columns: dict[str, list[Any]] = batch
        texts = [text for text in columns.get("text", []) if text]
        texts.extend(m["content"] for messages in columns.get("messages", []) for m in messages or [])
        yield texts
