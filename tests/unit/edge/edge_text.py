"""A byte-level tokenizer without merges: every byte is a token, so characters split as badly as can be."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from edge.text import TextCodec

SPECIAL = ["<pad>", "<s>", "</s>"]


def byte_codec(folder: Path) -> TextCodec:
    """The codec; token ids are 3 + the byte's place in the byte-level alphabet."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return TextCodec(path)
