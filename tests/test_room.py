"""One GPU, many models: what stays loaded, who goes, and in which order a batch has its turns. The GPU is simulated."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarctl import config, presets
from avatarctl.engines.chat.address import ollama_address
from avatarctl.engines.chat.ollama_engine import OllamaEngine
from avatarctl.engines.chat.spec import OllamaParams
from avatarctl.engines.contract import Cancelled, EngineSpec, HoldsMemory, Job
from avatarctl.errors import BadConfig, OutOfMemory
from avatarctl.runtime.engines import EnginePool
from avatarctl.runtime.executors.local import LocalExecutor
from avatarctl.runtime.room import Room, Slot
from avatarctl.stages.params import Params
from tests.fake_engines import Base, Drawer, Enlarger, OnGpu, Server, SimulatedGpu, Speaker, on_gpu, spec
from tests.model_servers import MODEL, TAGS, Reply, serving

PARAMS = Params()
KINDS: tuple[type[Base], ...] = (Server, Speaker, Drawer, Enlarger)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimulatedGpu:
    simulated = SimulatedGpu(12_000)
    monkeypatch.setattr(OnGpu, "gpu", simulated)
    return simulated


class Films:
    """Films of a batch: each a chain of steps, the next asked for when the one before is done."""

    def __init__(self, gpu: SimulatedGpu, folder: Path, patience: int = 256) -> None:
        self.order: list[str] = []
        self.failed: list[BaseException] = []
        self._job = Job(inputs={}, out=folder, params=PARAMS)
        pool = EnginePool(folder, device=gpu)
        self._executor = LocalExecutor(folder, patience=patience, pool=pool)
        self._left = threading.Semaphore(0)

    def perform(self, films: Sequence[Sequence[EngineSpec]]) -> None:
        """All of them; every step of every film."""
        for number, chain in enumerate(films):
            self._ask(number, list(chain))
        for chain in films:
            for _ in chain:
                assert self._left.acquire(timeout=30), "a step never had its turn"
        self._executor.close()

    def _ask(self, number: int, chain: list[EngineSpec]) -> None:
        if not chain:
            return
        now, *later = chain

        def work() -> None:
            try:
                self._executor.perform(now, self._job, lambda: self.order.append(f"{now.name}{number}"))
            except BaseException as error:
                self.failed.append(error)
            self._ask(number, later)
            self._left.release()

        self._executor.submit(work, now, PARAMS)


def test_a_batch_loads_each_model_once(gpu: SimulatedGpu, tmp_path: Path) -> None:
    films = Films(gpu, tmp_path)
    films.perform([[on_gpu(Server), on_gpu(Speaker), on_gpu(Drawer)] for _ in range(20)])
    assert films.failed == [] and not gpu.exceeded
    # The server and the speaker fit together, and the drawer beside one of them: it waits for the others' waves.
    assert gpu.loads == ["Server", "Speaker", "Drawer"]
    assert len(films.order) == 60 and gpu.taken == {}


def test_models_that_never_fit_together_take_turns_of_a_whole_wave(gpu: SimulatedGpu, tmp_path: Path) -> None:
    gpu.total = 6000
    films = Films(gpu, tmp_path)
    films.perform([[on_gpu(Server), on_gpu(Speaker), on_gpu(Drawer)] for _ in range(20)])
    assert films.failed == [] and not gpu.exceeded
    assert gpu.loads == ["Server", "Speaker", "Drawer"]
    assert [name.rstrip("0123456789") for name in films.order] == ["server"] * 20 + ["speaker"] * 20 + ["drawer"] * 20


def test_nobody_waits_longer_than_patience(gpu: SimulatedGpu, tmp_path: Path) -> None:
    gpu.total = 6000
    films = Films(gpu, tmp_path, patience=5)
    films.perform([*([on_gpu(Server)] for _ in range(3)), [on_gpu(Drawer)], *([on_gpu(Server)] for _ in range(30))])
    assert films.failed == [] and not gpu.exceeded
    place = films.order.index("drawer3")
    # The server's steps that went before it, and those that were passed while it waited.
    assert place <= 3 + 5


chains = st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), min_size=1, max_size=6)


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(films=chains, total=st.integers(6000, 20_000), lag=st.integers(0, 3))
def test_the_budget_is_never_exceeded(films: list[list[type[Base]]], total: int, lag: int, tmp_path: Path) -> None:
    gpu = OnGpu.gpu = SimulatedGpu(total, lag)
    performed = Films(gpu, tmp_path)
    performed.perform([[on_gpu(kind) for kind in chain] for chain in films])
    assert performed.failed == []
    assert len(performed.order) == sum(len(chain) for chain in films)
    assert not gpu.exceeded
    assert {type(who) for who in gpu.taken} <= {Server}, "a worker outlived its executor"


def test_who_was_used_longest_ago_goes_first(gpu: SimulatedGpu, tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=gpu, vram_mb=10_500)
    for kind in (Server, Speaker, Server, Enlarger):
        with pool.use(on_gpu(kind)) as (engine, _):
            engine.run(Job(inputs={}, out=tmp_path, params=PARAMS))
    # 5000 of the server, 3000 of the enlarger; the speaker was idle longer than the server.
    assert {type(who).__name__ for who in gpu.taken} == {"Server", "Enlarger"}
    with pool.use(on_gpu(Drawer)):
        assert {type(who).__name__ for who in gpu.taken} == {"Enlarger", "Drawer"}


def test_a_server_that_an_earlier_process_asked_lets_go(
    gpu: SimulatedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "left_loaded", True)
    gpu.total = 7000
    pool = EnginePool(tmp_path, device=gpu, servers=lambda: [(on_gpu(Server), PARAMS)])
    with pool.use(on_gpu(Drawer)):
        assert {type(who).__name__ for who in gpu.taken} == {"Drawer"}
    assert gpu.loads == ["Server", "Drawer"] and not gpu.exceeded


def test_the_answers_server_is_known_from_the_settings() -> None:
    ((known, params),) = presets.resolve("lite", ["answer.engine=ollama"]).servers()
    assert (known.name, type(params)) == ("ollama", OllamaParams)
    assert presets.resolve("lite").servers() == ()


def test_memory_is_waited_for_that_is_not_free_at_once(gpu: SimulatedGpu, tmp_path: Path) -> None:
    gpu.total, gpu.lag = 6000, 4
    pool = EnginePool(tmp_path, device=gpu)
    for kind in (Server, Drawer, Speaker):
        with pool.use(on_gpu(kind)) as (engine, _):
            engine.run(Job(inputs={}, out=tmp_path, params=PARAMS))
    assert not gpu.exceeded


def test_what_other_programs_hold_is_told(gpu: SimulatedGpu) -> None:
    gpu.others = 9000
    room = Room(gpu, list, patience=0.05)
    with pytest.raises(OutOfMemory) as caught:
        room.make(Slot("animate/drawer"), 6000, lambda: False)
    assert caught.value.code == "out_of_memory" and caught.value.exit_code == 1
    assert (caught.value.what, caught.value.why) == (
        "animate/drawer needs 6000 MB of the GPU's memory",
        "3000 MB are free, and other programs hold the rest",
    )
    assert "nvidia-smi" in caught.value.hint


def test_what_never_fits_is_told_at_once(gpu: SimulatedGpu, tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=gpu, vram_mb=5000)
    with pytest.raises(OutOfMemory, match="needs 6000 MB") as caught, pool.use(on_gpu(Drawer)):
        raise AssertionError("it was loaded")
    assert "5000 MB may be used" in caught.value.why and gpu.loads == []


def test_the_driver_is_not_asked_for_an_engine_that_wants_nothing_of_it(tmp_path: Path) -> None:
    class Untouched:
        def total_mb(self) -> int:
            raise AssertionError("the driver was asked")

        free_mb = total_mb

    pool = EnginePool(tmp_path, device=Untouched())
    plain = spec("echo")
    assert pool.fits(plain, PARAMS)
    with pool.use(plain) as (engine, _):
        assert engine is not None


def test_who_waits_for_room_can_be_cancelled(gpu: SimulatedGpu, tmp_path: Path) -> None:
    gpu.total = 6000
    pool = EnginePool(tmp_path, device=gpu)
    with pool.use(on_gpu(Speaker)):
        assert not pool.fits(on_gpu(Drawer), PARAMS)
        with pytest.raises(Cancelled), pool.use(on_gpu(Drawer), cancelled=lambda: True):
            raise AssertionError("there is no room")


def test_an_engine_that_ran_out_of_memory_is_unloaded(gpu: SimulatedGpu, tmp_path: Path) -> None:
    pool = EnginePool(tmp_path, device=gpu)
    with pytest.raises(MemoryError), pool.use(on_gpu(Speaker)):
        raise MemoryError
    assert gpu.taken == {}
    with pool.use(on_gpu(Speaker)) as (_, load_ms):
        assert load_ms > 0


# -- a real protocol: Ollama


def test_ollama_lets_go_and_is_believed_only_when_it_has() -> None:
    loaded, asked = [True], [0]

    def listing(reply: Reply) -> None:
        # It keeps on listing the model for a while after it said that it unloads it.
        asked[0] += bool(server.posts) and server.posts[-1][0] == "/api/generate"
        loaded[0] = asked[0] < 3
        entry = {"name": MODEL, "model": MODEL, "size": 4 << 30, "size_vram": 3 << 30}
        reply.whole(200, {"models": [entry] if loaded[0] else []})

    with serving() as server:
        server.documents = {"/api/ps": listing, "/api/tags": (200, TAGS)}
        engine, params = OllamaEngine(), OllamaParams(host=server.address)
        assert isinstance(engine, HoldsMemory)
        # 2.5 GB of weights, and a quarter more.
        assert engine.wanted_mb(params) == pytest.approx(2977, abs=2)
        assert engine.held_mb() == 0, "what it never used is not its own"
        engine.expect(params)
        assert engine.held_mb() == 3 << 10
        server.answer = lambda reply: reply.whole(200, {"model": MODEL, "response": "", "done": True})
        began = time.monotonic()
        engine.let_go()
        assert time.monotonic() - began < 10
        path, body = server.posts[-1]
        assert path == "/api/generate" and body["model"] == MODEL and body["keep_alive"] == 0
        assert not loaded[0] and engine.held_mb() == 0


def test_a_server_elsewhere_holds_nothing_here() -> None:
    engine = OllamaEngine()
    engine._used = frozenset({(ollama_address("192.0.2.1:11434"), MODEL)})
    assert engine.held_mb() == 0 and engine.wanted_mb(OllamaParams(host="192.0.2.1:11434")) == 0
    engine.let_go()
    gone = frozenset({(ollama_address("127.0.0.1:9"), MODEL)})
    engine._used = gone
    assert engine.held_mb() == 0
    engine.let_go()


# -- the user's own bound


def test_the_budget_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCTL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert config.vram_mb() == 0
    (tmp_path / "avatarctl.toml").write_text("[resources]\nvram_mb = 10000\n", encoding="utf-8")
    assert config.vram_mb() == 10_000
    presets.resolve()
    monkeypatch.setenv("AVATARCTL_RESOURCES_VRAM_MB", "8000")
    assert config.vram_mb() == 8000
    for wrong in ("many", "0", "-5"):
        monkeypatch.setenv("AVATARCTL_RESOURCES_VRAM_MB", wrong)
        with pytest.raises(BadConfig, match="vram_mb has to be a whole number"):
            presets.resolve()
    monkeypatch.delenv("AVATARCTL_RESOURCES_VRAM_MB")
    monkeypatch.setenv("AVATARCTL_RESOURCES_VRAM", "8000")
    with pytest.raises(BadConfig, match=r"unknown key resources\.vram"):
        presets.resolve()
    monkeypatch.delenv("AVATARCTL_RESOURCES_VRAM")
    for wrong, told in (("vram = 5", "unknown key resources.vram"), ("vram_mb = true", "whole number")):
        (tmp_path / "avatarctl.toml").write_text(f"[resources]\n{wrong}\n", encoding="utf-8")
        with pytest.raises(BadConfig, match=told):
            presets.resolve()
