"""Token ids to text as they arrive: whole UTF-8 characters only, and never past a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from edge.layout import LayoutError


class TextCodec:
    """The bundle's tokenizer (`tokenizer.json`)."""

    def __init__(self, path: Path) -> None:
        """Load `path`. Raises LayoutError when it is not a tokenizer."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as exc:  # the library raises plain Exception
            raise LayoutError(f"{path}: not a tokenizer: {exc}") from exc

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids; special tokens in the text are recognised, and added where the tokenizer is set to."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def token_text(self, token: int) -> str:
        """One token by itself, special tokens by name; U+FFFD where it is part of a character."""
        return self._tokenizer.decode([token], skip_special_tokens=False)

    def token_bytes(self, token: int) -> list[int]:
        """The bytes of one token; those of its text where the vocabulary is not byte-level."""
        piece = self._tokenizer.id_to_token(token) or ""
        if piece and all(char in _BYTE_OF for char in piece):
            return [_BYTE_OF[char] for char in piece]
        return list(self.token_text(token).encode())

    def writer(self, stop: Sequence[str] = ()) -> TextWriter:
        """A fresh incremental decoder."""
        return TextWriter(self._tokenizer, tuple(stop))


class TextWriter:
    """Incremental detokenisation of one answer, with stop strings.

    `push` returns text that is final: a character comes out when its last byte has come in, and text
    that could be the start of a stop string is held back until it is known not to be.
    """

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stop = stop
        self._tokens: list[int] = []
        self._decoded = 0
        """Characters that came out of the stream; those not yet returned are in `_held`."""
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Append a token; returns new final text, often empty. Sets `stopped` at a stop string."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        new = self._stream.step(self._tokenizer, token)
        if not new:
            return ""
        self._decoded += len(new)
        return self._release(new)

    def finish(self) -> str:
        """The rest: text held back, and U+FFFD for a character that was never completed."""
        if self.stopped:
            return ""
        rest = self._tokenizer.decode(self._tokens, skip_special_tokens=True)[self._decoded :]
        released = self._release(rest)
        tail, self._held = ("" if self.stopped else self._held), ""
        return released + tail

    def _release(self, new: str) -> str:
        text = self._held + new
        ends = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if ends:
            self.stopped = True
            self._held = ""
            return text[: min(ends)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)


def _byte_level_alphabet() -> dict[str, int]:
    """Character to byte in byte-level BPE (Radford et al., 2019): printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _byte_level_alphabet()
