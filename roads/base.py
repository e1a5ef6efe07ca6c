"""What a road is to those who use one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Road(ABC):
    """A served bundle. A context manager: entering starts (or attaches), leaving stops (or detaches)."""

    base_url: str
    """The endpoint; the OpenAI API is under `/v1`. Set by `start`."""
    cold_start_seconds: float
    """From the start of the server's process until `/ready` answered 200. Set by `start`."""
    simulated: tuple[str, ...] = ()
    """What about this road is not the real thing, for example `("network",)`."""
    notes: tuple[str, ...] = ()
    """Further facts for whoever reads the figures, one sentence each."""
    artifact_bytes: int
    """Size of the files that this format loads."""

    @abstractmethod
    def start(self) -> None:
        """Return when the road is ready. Raises a TriviumError when it does not become so."""

    @abstractmethod
    def stop(self) -> None:
        """End everything that `start` started. Calling it twice is fine."""

    @abstractmethod
    def rss_bytes(self) -> int:
        """Resident memory of the server's processes, in bytes; 0 where it cannot be known."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
