"""The event log: whole lines, rotation, and no silent loss."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from observability.event_log import EventLog
from observability.events import SCHEMA, EventError, RequestEvent, encode, read_events

pytestmark = pytest.mark.unit


def event(number: int = 0, **fields: Any) -> RequestEvent:
    return RequestEvent(request_id=f"r{number}", tenant="t", model="m", endpoint="completions", **fields)


def test_event_is_one_json_line_with_every_field_of_the_schema() -> None:
    line = encode(event(road="edge", e2e_ms=1.5, response="two\nlines"))
    fields = json.loads(line)
    assert line.count(b"\n") == 1
    assert fields["schema"] == SCHEMA
    assert fields["time"].endswith("Z")
    documented = """schema request_id time tenant model road bundle_digest endpoint stream status error_code
        prompt_tokens completion_tokens request_bytes response_bytes queue_ms ttft_ms e2e_ms finish_reason
        client_disconnected prompt_sha256 response_sha256 prompt response guard max_tokens temperature"""
    assert set(fields) == set(documented.split())


def test_events_come_back_in_order(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "deep" / "events.jsonl", flush_seconds=0.01)
    for number in range(500):
        log.write(event(number))
    log.close()
    assert [e.request_id for e in read_events(log.path)] == [f"r{n}" for n in range(500)]
    assert log.dropped == 0


def test_events_arrive_without_closing(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", flush_seconds=0.01)
    log.write(event())
    deadline = threading.Event()
    for _ in range(200):
        if log.path.stat().st_size:
            break
        deadline.wait(0.01)
    assert log.path.read_bytes().endswith(b"\n")
    log.close()


def test_torn_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(event(1)) + b'{"schema": "trivium.req' + b"x" * 100_000)
    log = EventLog(path)
    log.write(event(2))
    log.close()
    assert [e.request_id for e in read_events(path)] == ["r1", "r2"]


def test_rotation_keeps_whole_lines_within_the_size(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, max_bytes=5 * len(encode(event(100))), keep=2)
    for number in range(100, 120):
        log.write(event(number))
    log.close()
    files = [path.with_name("events.jsonl.2"), path.with_name("events.jsonl.1"), path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    kept = [e.request_id for file in files for e in read_events(file)]
    assert kept == [f"r{n}" for n in range(105, 120)]


def test_keep_zero_starts_over(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", max_bytes=1, keep=0)
    for number in range(3):
        log.write(event(number))
    log.close()
    assert [e.request_id for e in read_events(log.path)] == ["r2"]
    assert list(tmp_path.iterdir()) == [log.path]


def test_drops_are_counted_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    log = EventLog(tmp_path / "events.jsonl", flush_seconds=60, on_drop=told.append)
    real_write = os.write

    def half_then_full(descriptor: int, data: memoryview) -> int:
        if len(data) > 100:
            return real_write(descriptor, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("observability.event_log.os.write", half_then_full)
    log.write(event(1))
    log.write(event(2))
    log.close()
    assert (log.dropped, told, log.path.read_bytes()) == (2, [2], b"")


def test_drops_are_counted_when_too_many_wait_or_after_close(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", max_pending=3, flush_seconds=60)
    for number in range(5):
        log.write(event(number))
    log.close()
    log.close()
    log.write(event())
    assert log.dropped == 3
    assert len(list(read_events(log.path))) == 3


def test_one_event_that_cannot_be_encoded_does_not_stop_the_others(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", flush_seconds=60)
    log.write(event(1, guard={"verdict": object()}))
    log.write(event(2))
    log.close()
    assert [e.request_id for e in read_events(log.path)] == ["r2"]
    assert log.dropped == 1


def test_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EventError, match="cannot be written"):
        EventLog(tmp_path / "file" / "events.jsonl")


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", encode(event()).replace(b"/v1", b"/v9")])
def test_foreign_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(event()) + line)
    with pytest.raises(EventError, match=r"events\.jsonl:2"):
        list(read_events(path))
