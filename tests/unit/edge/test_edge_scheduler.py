"""The scheduler: joins and leaves between steps, fairness, bounds, cancels, deadlines, engine failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge.generation import Generation
from edge.sampling import SamplingParams
from edge.scheduler import Limits, QueueFull, Scheduler, Stopped
from edge.text import TextCodec
from tests.unit.edge.edge_fakes import CountingEngine, Recorder
from tests.unit.edge.edge_text import byte_codec

pytestmark = pytest.mark.unit

Make = Callable[..., Scheduler]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> TextCodec:
    return byte_codec(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make(engine: CountingEngine, recorder: Recorder) -> Iterator[Make]:
    made = []

    def build(**limits: int) -> Scheduler:
        scheduler = Scheduler(engine, [CountingEngine.END], recorder, Limits(**limits))
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield build
    for _ in range(1000):
        engine.gate.release()
    for scheduler in made:
        scheduler.stop()


class Answers:
    """Makes generations and waits for their ends."""

    def __init__(self, codec: TextCodec) -> None:
        self.codec = codec

    def new(self, prompt: list[int], max_tokens: int = 5, deadline: float | None = None) -> Generation:
        done = threading.Event()
        generation = Generation(
            prompt,
            SamplingParams(max_tokens=max_tokens, temperature=0),
            self.codec.writer(),
            deadline=deadline,
        )
        generation.notify = lambda: done.set() if generation.finish_reason else None
        generation.done = done  # type: ignore[attr-defined]
        return generation

    @staticmethod
    def tokens(generation: Generation) -> list[int]:
        assert generation.done.wait(10), "not finished in 10 s"  # type: ignore[attr-defined]
        return [piece.token for piece in generation.pieces]


@pytest.fixture
def answers(codec: TextCodec) -> Answers:
    return Answers(codec)


def test_answers_end_by_length_and_by_end_of_sequence(
    make: Make, answers: Answers, recorder: Recorder
) -> None:
    scheduler = make()
    short, long = answers.new([1, 2, 3], 4), answers.new([37], 60)
    scheduler.submit(short)
    scheduler.submit(long)
    assert answers.tokens(short) == [4, 5, 6, 7]
    assert answers.tokens(long) == [38, 39, 40]
    assert (short.finish_reason, long.finish_reason) == ("length", "stop")
    assert (recorder.prompt_tokens, recorder.generated_tokens) == (4, 7)


def test_more_requests_than_rows_all_get_their_own_answer(
    make: Make, answers: Answers, engine: CountingEngine
) -> None:
    scheduler = make()
    many = [answers.new([i], 3 + i % 5) for i in range(20)]
    for generation in many:
        scheduler.submit(generation)
    for i, generation in enumerate(many):
        assert answers.tokens(generation) == list(range(i + 1, i + 4 + i % 5))
    assert max(engine.steps) == engine.max_sequences
    assert not engine.open_slots


def test_a_newcomer_joins_a_running_batch(make: Make, answers: Answers, engine: CountingEngine) -> None:
    engine.gate = threading.Semaphore(0)
    scheduler = make()
    first, second = answers.new([1], 30), answers.new([5], 2)
    scheduler.submit(first)
    for _ in range(6):
        engine.gate.release()
    wait_until(lambda: len(first.pieces) >= 5)
    scheduler.submit(second)
    for _ in range(6):
        engine.gate.release()
    assert answers.tokens(second) == [6, 7]
    assert first.finish_reason is None


def test_a_long_prompt_is_read_in_chunks_between_steps(
    make: Make, answers: Answers, engine: CountingEngine
) -> None:
    engine.gate = threading.Semaphore(0)
    scheduler = make(prefill_chunk=4)
    talker = answers.new([1], 30)
    scheduler.submit(talker)
    for _ in range(3):
        engine.gate.release()
    wait_until(lambda: len(talker.pieces) >= 2)
    before = len(talker.pieces)
    reader = answers.new([9] * 16, 1)
    scheduler.submit(reader)
    for _ in range(9):
        engine.gate.release()
    assert answers.tokens(reader) == [10]
    assert engine.chunks == [1, 4, 4, 4, 4]
    assert len(talker.pieces) - before >= 3


def test_a_full_queue_refuses(make: Make, answers: Answers, engine: CountingEngine) -> None:
    engine.gate = threading.Semaphore(0)
    engine.max_sequences = 1
    scheduler = make(max_waiting=2)
    scheduler.submit(answers.new([1]))
    wait_until(lambda: len(engine.open_slots) == 1)
    waiting = [answers.new([2]), answers.new([3])]
    for generation in waiting:
        scheduler.submit(generation)
    with pytest.raises(QueueFull):
        scheduler.submit(answers.new([4]))
    for _ in range(100):
        engine.gate.release()
    assert [answers.tokens(generation)[0] for generation in waiting] == [3, 4]


def test_a_cancelled_request_makes_no_more_tokens(
    make: Make, answers: Answers, engine: CountingEngine, recorder: Recorder
) -> None:
    engine.gate = threading.Semaphore(0)
    scheduler = make()
    generation = answers.new([1], 30)
    scheduler.submit(generation)
    for _ in range(4):
        engine.gate.release()
    wait_until(lambda: len(generation.pieces) >= 3)
    generation.cancel()
    for _ in range(100):
        engine.gate.release()
    made = len(answers.tokens(generation))
    assert generation.finish_reason == "cancelled"
    assert made < 30
    assert recorder.generated_tokens == made
    assert not engine.open_slots


def test_deadlines_end_waiting_and_running_requests(
    make: Make, answers: Answers, engine: CountingEngine
) -> None:
    engine.gate = threading.Semaphore(0)
    scheduler = make()
    late = answers.new([1], 30, deadline=time.perf_counter() + 0.05)
    scheduler.submit(late)
    time.sleep(0.1)
    for _ in range(100):
        engine.gate.release()
    answers.tokens(late)
    assert late.finish_reason == "deadline"


def test_an_engine_failure_ends_all_and_refuses_more(
    make: Make, answers: Answers, engine: CountingEngine
) -> None:
    engine.fail = True
    scheduler = make()
    generation = answers.new([1])
    scheduler.submit(generation)
    answers.tokens(generation)
    assert generation.finish_reason == "error"
    with pytest.raises(Stopped):
        scheduler.submit(answers.new([2]))


def test_stop_ends_what_is_unfinished(make: Make, answers: Answers, engine: CountingEngine) -> None:
    engine.gate = threading.Semaphore(0)
    scheduler = make()
    generation = answers.new([1], 30)
    scheduler.submit(generation)
    stopper = threading.Thread(target=scheduler.stop)
    stopper.start()
    for _ in range(100):
        engine.gate.release()
    stopper.join(10)
    answers.tokens(generation)
    assert generation.finish_reason in {"cancelled", "length"}
    with pytest.raises(Stopped):
        scheduler.submit(answers.new([2]))


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)
