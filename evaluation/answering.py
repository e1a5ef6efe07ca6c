"""Which model answers, and how it is reached: a road, a running server, or transformers in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation.client import Settings, complete_many, served_model
from evaluation.errors import EvaluationError
from evaluation.prompts import Conversation

Road = Literal["local", "onprem", "cloud", "edge"]
Precision = Literal["fp32", "bf16", "int4"]
OnAnswer = Callable[[int, str], None]


@dataclass(frozen=True)
class Answerer:
    """Everything that decides the answers; `fingerprint` says whether a run can be continued."""

    bundle: Path | None
    road: Road = "local"
    precision: Precision = "fp32"
    url: str | None = None
    model: str | None = None
    public_key: Path | None = None
    max_tokens: int = 128
    concurrency: int = 8
    batch_size: int = 32

    def check(self) -> None:
        """Raise EvaluationError where the settings do not fit together."""
        if self.bundle is None and self.url is None:
            raise EvaluationError("give --bundle DIR, or --url of a server that runs")

    def fingerprint(self) -> dict[str, str]:
        """What an answer depends on. Reads the bundle's manifest."""
        from bundle import Bundle

        source = Bundle.open(self.bundle).digest if self.bundle is not None else ""
        return {
            "bundle": source, "road": self.road, "format": self.precision, "url": self.url or "",
            "model": self.model or "", "max_tokens": str(self.max_tokens),
        }  # fmt: skip

    def __call__(
        self, prompts: Sequence[Conversation], numbers: Sequence[int], on_answer: OnAnswer
    ) -> list[str]:
        """Answer all prompts, in order; errors name an input by its number in `numbers`.

        Raises the TriviumErrors of the bundle, the road and the client.
        """
        if self.url is not None:
            return self._ask(self.url, self.model or served_model(self.url), prompts, numbers, on_answer)
        if self.bundle is None:
            raise EvaluationError("give --bundle DIR, or --url of a server that runs")
        if self.road == "local":
            return self._answer_here(self.bundle, prompts, numbers, on_answer)
        from bundle import Bundle
        from roads import RoadSpec, open_road

        spec = RoadSpec(road=self.road, format=self.precision, public_key=self.public_key)
        model = self.model or Bundle.open(self.bundle).model_id
        with (
            tempfile.TemporaryDirectory(prefix="trivium-road-") as logs,
            open_road(spec, self.bundle, log_dir=Path(logs)) as road,
        ):
            return self._ask(road.base_url, model, prompts, numbers, on_answer)

    def _answer_here(
        self, bundle: Path, prompts: Sequence[Conversation], numbers: Sequence[int], on_answer: OnAnswer
    ) -> list[str]:
        from bundle import verify
        from evaluation.local import generate_local, load_local

        local = load_local(verify(bundle, self.public_key).model_dir, self.precision)
        return generate_local(
            local,
            prompts,
            max_tokens=self.max_tokens,
            batch_size=self.batch_size,
            numbers=numbers,
            on_answer=on_answer,
        )

    def _ask(
        self,
        url: str,
        model: str,
        prompts: Sequence[Conversation],
        numbers: Sequence[int],
        on_answer: OnAnswer,
    ) -> list[str]:
        settings = Settings(max_tokens=self.max_tokens, concurrency=self.concurrency)
        return complete_many(url, model, prompts, settings=settings, numbers=numbers, on_answer=on_answer)
