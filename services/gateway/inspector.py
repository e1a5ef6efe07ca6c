"""Reads along while an answer passes: tokens, text, usage and finish reason, without touching a byte."""

from __future__ import annotations

import msgspec

from observability.events import sha256_hex

MAX_EVENT_BYTES = 2**20


class _Part(msgspec.Struct):
    """`delta` of a stream, `message` of a whole answer."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Part | None = None
    message: _Part | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Frame)


class Inspector:
    """Feed it the bytes of one answer: `feed_stream` piece by piece, or `feed_whole` once."""

    def __init__(self) -> None:
        self.chunks_with_text = 0
        self.prompt_tokens: int | None = None
        self.finish_reason: str | None = None
        self.saw_error = False
        """The server reported an error inside its stream."""
        self._usage_tokens: int | None = None
        self._texts: dict[int, list[str]] = {}
        self._rest = b""
        self._is_stream = False

    @property
    def completion_tokens(self) -> int | None:
        """From usage where there is one, else the chunks of the stream that carried text; None if neither."""
        if self._usage_tokens is not None:
            return self._usage_tokens
        return self.chunks_with_text if self._is_stream and self.chunks_with_text else None

    @property
    def text(self) -> str | None:
        """The generated text; several choices are joined by a newline. None where there was none."""
        if not self._texts:
            return None
        return "\n".join("".join(self._texts[index]) for index in sorted(self._texts))

    @property
    def text_sha256(self) -> str | None:
        """Of `text` in UTF-8."""
        text = self.text
        return None if text is None else sha256_hex(text.encode("utf-8", "surrogatepass"))

    def feed_stream(self, data: bytes) -> None:
        """The next bytes of a stream of server-sent events, cut anywhere."""
        self._is_stream = True
        if b"\r" in data:
            data = data.replace(b"\r", b"")
        data = self._rest + data
        *events, self._rest = data.split(b"\n\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            self._rest = b""  # no event of ours is as long: count what can be counted
        for event in events:
            if event.startswith(b"data: {"):
                self._frame(event[6:])

    def feed_whole(self, body: bytes) -> None:
        """The body of an answer that does not stream."""
        self._frame(body)

    def _frame(self, content: bytes) -> None:
        try:
            frame = _decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if frame.usage is not None:
            self.prompt_tokens = frame.usage.prompt_tokens
            self._usage_tokens = frame.usage.completion_tokens
        if frame.error is not msgspec.UNSET and bytes(frame.error) != b"null":
            self.saw_error = True
        carried = False
        for choice in frame.choices:
            part = choice.delta or choice.message
            text = choice.text or (part.content or part.reasoning_content if part else None)
            if text:
                self._texts.setdefault(choice.index, []).append(text)
            carried = carried or bool(text or (part and part.tool_calls))
            self.finish_reason = choice.finish_reason or self.finish_reason
        self.chunks_with_text += carried
