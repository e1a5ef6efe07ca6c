"""Prompts, recordings, and the bodies that are made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.load.errors import LoadError
from tests.load.inputs import draw, read_inputs, read_recording
from tests.load.plan import Plan, make_plan
from tests.load.scenario import Replay, Scenario

pytestmark = pytest.mark.unit

SCENARIO: dict[str, Any] = {
    "name": "test",
    "inputs": "prompts.txt",
    "arrivals": {"process": "constant", "stages": [{"rate": 5, "seconds": 2}]},
    "warmup_seconds": 0,
    "slo": {"e2e_ms": 1000},
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def plan(folder: Path, **changes: Any) -> Plan:
    scenario = Scenario.from_dict({**SCENARIO, **changes}, "test")
    return make_plan(scenario, folder, url="http://127.0.0.1:1", model="m", headers={}, inputs=None)


def test_jsonl_rows_of_every_kind(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "the answer"}]
    path = write(tmp_path / "i.jsonl", {"input": "a", "references": []}, {"prompt": "b"}, {"messages": turns})
    contents = [[turn["content"] for turn in conversation] for conversation in read_inputs(path)]
    assert contents == [["a"], ["b"], ["c"]], "the assistant's last turn is the answer, not the question"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{not json", "i.jsonl:1: not JSON"),
        ("[1]", "found a list"),
        ({"text": "x"}, "needs `input`"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "before the assistant's"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(LoadError, match=says):
        read_inputs(write(tmp_path / "i.jsonl", row))


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such file"):
        read_inputs(tmp_path / "none.txt")
    with pytest.raises(LoadError, match="no prompts"):
        read_inputs(write(tmp_path / "empty.txt", "", " "))


def test_inputs_repeat_only_when_all_were_used() -> None:
    conversations = [[{"role": "user", "content": str(number)}] for number in range(10)]
    contents = [turns[0]["content"] for turns in draw(conversations, 20, seed=1)]
    assert sorted(contents[:10]) == sorted(contents[10:]) == sorted(map(str, range(10)))


def test_bodies_ask_for_what_the_scenario_says(tmp_path: Path) -> None:
    write(tmp_path / "prompts.txt", "hello")
    body = json.loads(plan(tmp_path, extra_body={"ignore_eos": True}, max_tokens=7).requests[0].body)
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert body["stream_options"] == {"include_usage": True}
    assert (body["model"], body["max_tokens"], body["ignore_eos"]) == ("m", 7, True)
    body = json.loads(plan(tmp_path, endpoint="completions", stream=False).requests[0].body)
    assert body["prompt"] == "hello"
    assert "stream" not in body


def test_replay_keeps_the_recorded_arrival_times_and_sizes(tmp_path: Path) -> None:
    """An event is written when its request ends; the arrival was e2e_ms before."""
    write(
        tmp_path / "events.jsonl",
        {"time": "2026-11-01T09:00:04+00:00", "e2e_ms": 2000, "max_tokens": 9, "prompt": "told"},
        {"time": "2026-11-01T09:00:01+00:00", "e2e_ms": 1000},
    )
    write(tmp_path / "prompts.txt", "spare")
    replay = Replay(process="replay", events=Path("events.jsonl"), speed=2)
    assert [request.at for request in read_recording(tmp_path / "events.jsonl", replay)] == [0, 1]
    made = plan(tmp_path, arrivals=replay.model_dump(mode="json"))
    bodies = [json.loads(request.body) for request in made.requests]
    assert [body["messages"][0]["content"] for body in bodies] == ["spare", "told"]
    assert [body["max_tokens"] for body in bodies] == [64, 9]


def test_shards_share_the_requests_and_survive_a_message(tmp_path: Path) -> None:
    write(tmp_path / "prompts.txt", "a", "b")
    whole = plan(tmp_path)
    shards = [Plan.from_message(json.loads(json.dumps(whole.shard(n, 3).to_message()))) for n in range(3)]
    assert sorted(r.index for shard in shards for r in shard.requests) == [r.index for r in whole.requests]
    assert shards[1].requests[0] == whole.requests[1]
