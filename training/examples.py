"""From the rows of a prepared data set (docs/architecture.md, "Data rows") to token groups for packing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import TriviumError
from training.packing import Group, Tokens

_PROBE = "\x02"


class ExamplesError(TriviumError):
    """A data set or tokenizer is missing, unreadable or holds nothing to train on."""


class ChatTokenizer:
    """A Hugging Face tokenizer folder: ids of the special tokens, and conversations rendered by its
    template."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "tokenizer.json").is_file():
            raise ExamplesError(f"{folder}: holds no tokenizer.json; train one first or give --tokenizer DIR")
        from transformers import PreTrainedTokenizerFast  # takes a second to import

        try:
            self._tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
        except (OSError, ValueError) as exc:
            raise ExamplesError(f"{folder}: the tokenizer cannot be read: {exc}") from exc
        self.folder = folder
        self.special = {name: getattr(self._tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        missing = [name for name, number in self.special.items() if number is None]
        if missing:
            raise ExamplesError(f"{folder}: the tokenizer has no {', '.join(missing)} token")
        if not self._tokenizer.chat_template:
            raise ExamplesError(f"{folder}: the tokenizer has no chat template")

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: all ids, rounded up to a multiple of 64, a width that matrix units like."""
        return -(-len(self._tokenizer) // 64) * 64

    def prompt(self, messages: Sequence[dict[str, str]]) -> str:
        """The rendered conversation up to where the assistant's answer begins."""
        text: str = self._tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return text

    def answer_end(self) -> str:
        """What the template writes behind an answer (`</s>`)."""
        user = {"role": "user", "content": "x"}
        whole = self._tokenizer.apply_chat_template(
            [user, {"role": "assistant", "content": _PROBE}], tokenize=False
        )
        return str(whole.rpartition(_PROBE)[2])

    def plain(self, text: str) -> str:
        """A text as a document: `<s>text</s>`."""
        return f"{self._tokenizer.bos_token}{text}{self._tokenizer.eos_token}"

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of rendered texts; special tokens are those written out in them."""
        encodings = self._tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass(frozen=True, slots=True)
class Examples:
    """One split, tokenized."""

    groups: list[Group]
    rows: int
    """Data rows inside."""
    too_long: int
    """Rows left out because they are longer than a row of the batch."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a split file. Raises ExamplesError naming the line of a broken one."""
    if not path.parent.is_dir():
        raise ExamplesError(
            f"{path.parent}: no such data set; `python -m training data --config …` makes one"
        )
    if not path.is_file():
        raise ExamplesError(f"{path}: no such file; the data set is not complete, prepare it again")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                row = json.loads(line)
                if not (row.get("messages") or row.get("text")):
                    raise ExamplesError(f"{path}:{number}: a row needs `messages` or `text`")
            except (ValueError, AttributeError) as exc:
                raise ExamplesError(f"{path}:{number}: not a JSON object: {exc}") from exc
            yield row


def read_answers(path: Path, tokenizer: ChatTokenizer, row_tokens: int) -> Examples:
    """Conversations for supervised fine-tuning: every assistant message is an answer to what stands before
    it.

    Answers to the same prompt form one group. Raises ExamplesError where nothing is left.
    """
    answers: dict[str, list[tuple[str, str]]] = {}
    for row in read_rows(path):
        messages = row.get("messages") or []
        for turn, message in enumerate(messages):
            if message["role"] == "assistant" and turn:
                prompt = tokenizer.prompt(messages[:turn])
                answers.setdefault(prompt, []).append((str(row.get("id", "")), message["content"]))
    pairs = [(identity, answer) for many in answers.values() for identity, answer in many]
    if not pairs:
        raise ExamplesError(f"{path}: no row has an assistant message: there is no answer to take a loss on")
    end = tokenizer.answer_end()
    encoded = iter(tokenizer.encode([answer + end for _, answer in pairs]))
    groups = []
    for context, many in zip(tokenizer.encode(list(answers)), answers.values(), strict=True):
        continuations = [np.concatenate((context[-1:], next(encoded))) for _ in many]
        groups.append(Group(context[:-1], tuple(continuations), tuple(identity for identity, _ in many)))
    return _drop_long(path, groups, row_tokens)


def read_texts(path: Path, tokenizer: ChatTokenizer, row_tokens: int) -> Examples:
    """Documents for pretraining: plain texts, and conversations as rendered; long ones are cut to
    `row_tokens`."""
    ids: list[str] = []
    texts: list[str] = []
    end = tokenizer.answer_end()
    for row in read_rows(path):
        ids.append(str(row.get("id", "")))
        messages = row.get("messages")
        if not messages:
            texts.append(tokenizer.plain(row["text"]))
        elif messages[-1]["role"] == "assistant":
            texts.append(tokenizer.prompt(messages[:-1]) + messages[-1]["content"] + end)
        else:
            texts.append(tokenizer.plain(messages[-1]["content"]))
    groups = []
    nothing = np.zeros(0, np.int32)
    for identity, document in zip(ids, tokenizer.encode(texts), strict=True):
        for start in range(0, len(document) - 1, row_tokens):
            groups.append(Group(nothing, (document[start : start + row_tokens + 1],), (identity,)))
    if not groups:
        raise ExamplesError(f"{path}: the split is empty: nothing to train on")
    return Examples(groups, len(texts), 0)


def _drop_long(path: Path, groups: list[Group], row_tokens: int) -> Examples:
    kept: list[Group] = []
    rows = too_long = 0
    for group in groups:
        fits = [i for i, c in enumerate(group.continuations) if len(group.context) + len(c) - 1 <= row_tokens]
        rows += len(fits)
        too_long += len(group.continuations) - len(fits)
        if fits:
            chosen = tuple(group.continuations[i] for i in fits)
            kept.append(Group(group.context, chosen, tuple(group.ids[i] for i in fits)))
    if not kept:
        raise ExamplesError(
            f"{path}: all {too_long} rows are longer than row_tokens = {row_tokens}: nothing is left to "
            "train on; raise batch.row_tokens (and the model's max_position_embeddings)"
        )
    return Examples(kept, rows, too_long)
