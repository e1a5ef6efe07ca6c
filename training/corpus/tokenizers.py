"""BPE, Unigram and WordPiece at equal vocabulary sizes, measured on text they were not trained on.

BPE: Sennrich et al., 2016. Unigram: Kudo, 2018. WordPiece: Schuster and Nakajima, 2012. All three see the
same words (GPT-2's pre-tokenizer over bytes, as `training/tokenizer.py`), so that none has an unknown
character and the figures differ by the algorithm alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from common.files import atomic_write
from training.corpus.config import CorpusError
from training.data.rows import load_split
from training.tokenizer import SMALLEST_VOCAB_SIZE, SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Algorithm = Literal["bpe", "unigram", "wordpiece"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
_UNKNOWN = "<|unknown|>"
"""Not "<unk>": WikiText spells that out, and it would be counted as unknown."""
_ENCODED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class TokenizerFigures:
    """One vocabulary on the held-out text.

    Fertility: tokens per word, words being split at white space. `vocabulary_used`: share of the entries
    that occur. Pieces that start a word and such that continue one are different entries in WordPiece.
    """

    algorithm: str
    vocab_size: int
    fertility: float
    bytes_per_token: float
    words_kept_whole: float
    vocabulary_used: float
    unknown_tokens: int
    train_seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All vocabularies, and on how much text they were trained and measured."""

    train_chars: int
    held_out_words: int
    held_out_bytes: int
    split: str
    figures: list[TokenizerFigures]


def compare(
    data: Path, sizes: Sequence[int], output: Path, max_chars: int = 5_000_000, split: str = "dev"
) -> Comparison:
    """Train each algorithm at each size on the training split of `data`, measure on `split`.

    Writes `output`/tokenizers.json and tokenizers.md. Raises CorpusError where a size cannot hold the bytes
    and special tokens, DataError where `data` is no prepared data set.
    """
    too_small = [size for size in sizes if size < SMALLEST_VOCAB_SIZE + 1]
    if too_small or not sizes:
        raise CorpusError(f"sizes: {too_small or 'none given'}; the smallest is {SMALLEST_VOCAB_SIZE + 1}")
    training, held_out = _texts(data, "train", max_chars), _texts(data, split, max_chars)
    figures = [_measure(algorithm, size, training, held_out) for size in sizes for algorithm in ALGORITHMS]
    comparison = Comparison(
        train_chars=sum(map(len, training)),
        held_out_words=sum(len(text.split()) for text in held_out),
        held_out_bytes=sum(len(text.encode()) for text in held_out),
        split=split,
        figures=figures,
    )
    atomic_write(output / "tokenizers.json", json.dumps(asdict(comparison), indent=2) + "\n")
    atomic_write(output / "tokenizers.md", render(comparison))
    return comparison


def train(algorithm: Algorithm, size: int, texts: Sequence[str]) -> Tokenizer:
    """A tokenizer with at most `size` entries, special tokens and bytes included."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [*SPECIAL_TOKENS, _UNKNOWN]
    common: dict[str, Any] = {
        "vocab_size": size, "special_tokens": special, "initial_alphabet": alphabet, "show_progress": False,
    }  # fmt: skip
    if algorithm == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
        trainer: Any = trainers.BpeTrainer(min_frequency=2, **common)
    elif algorithm == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(unk_token=_UNKNOWN, **common)
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token=_UNKNOWN, max_input_chars_per_word=1_000))
        trainer = trainers.WordPieceTrainer(min_frequency=2, **common)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def render(comparison: Comparison) -> str:
    """The table as Markdown."""
    lines = [
        f"Trained on {comparison.train_chars:,} characters, measured on {comparison.held_out_words:,} "
        f"words ({comparison.held_out_bytes:,} bytes) of {comparison.split}.", "",
        "| entries | algorithm | tokens per word | bytes per token | words kept whole | entries used "
        "| unknown | training, s |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {f.vocab_size:,} | {f.algorithm} | {f.fertility:.3f} | {f.bytes_per_token:.3f} "
            f"| {f.words_kept_whole:.1%} | {f.vocabulary_used:.1%} | {f.unknown_tokens:,} "
            f"| {f.train_seconds:.1f} |"
            for f in comparison.figures
        ), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _measure(
    algorithm: Algorithm, size: int, training: Sequence[str], held_out: Sequence[str]
) -> TokenizerFigures:
    started = time.monotonic()
    tokenizer = train(algorithm, size, training)
    seconds = time.monotonic() - started
    unknown = tokenizer.token_to_id(_UNKNOWN)
    assert unknown is not None
    tokens = unknown_tokens = whole = pieces = 0
    used: set[int] = set()
    for batch in _batches(held_out):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            tokens += len(encoding.ids)
            used.update(encoding.ids)
            unknown_tokens += encoding.ids.count(unknown)
            counts: dict[int | None, int] = {}
            for word in encoding.word_ids:
                counts[word] = counts.get(word, 0) + 1
            whole += sum(count == 1 for count in counts.values())
            pieces += len(counts)
    words = sum(len(text.split()) for text in held_out)
    return TokenizerFigures(
        algorithm=algorithm, vocab_size=tokenizer.get_vocab_size(), fertility=round(tokens / words, 4),
        bytes_per_token=round(sum(len(text.encode()) for text in held_out) / tokens, 4),
        words_kept_whole=round(whole / max(1, pieces), 4),
        vocabulary_used=round(len(used) / tokenizer.get_vocab_size(), 4), unknown_tokens=unknown_tokens,
        train_seconds=round(seconds, 2),
    )  # fmt: skip


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _ENCODED_AT_ONCE):
        yield list(texts[start : start + _ENCODED_AT_ONCE])


def _texts(data: Path, split: str, max_chars: int) -> list[str]:
    """Texts of a split up to `max_chars`; the training rows are in random order, so this is a sample."""
    texts: list[str] = []
    chars = 0
    for row in load_split(data, split):
        pieces = [row["text"]] if row.get("text") else [m["content"] for m in row.get("messages") or []]
        texts += pieces
        chars += sum(map(len, pieces))
        if chars >= max_chars:
            break
    if not texts:
        raise CorpusError(f"{data}: the {split} split has no text")
    return texts
