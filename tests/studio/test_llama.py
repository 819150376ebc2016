"""`ask` against a real llama.cpp server, with a model of random weights that the test writes itself."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.studio.tiny_llama import STOPS, WORDS
from tests.tools import Studio, refused

# Set by `run.py`: an interpreter that has llama-cpp-python[server] and gguf.
PYTHON = os.environ.get("AVATARCTL_TEST_LLAMA", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="llama.cpp's server is not installed")

QUESTION = "Кто первым полетел в космос?"
SECRET = "hunter2-abcdef"


@contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """The address of /v1, once the server answers."""
    made = folder / "tiny.gguf"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([PYTHON, "-m", "tests.studio.tiny_llama", str(made), *options], env=environment, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [PYTHON, "-m", "llama_cpp.server", "--model", str(made), "--host", "127.0.0.1", "--port", str(port)]
    more = ["--n_ctx", "4096", "--n_threads", "1", "--api_key", SECRET]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen([*command, *more], env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, f"{address}/v1/models", folder / "server.log")
            yield f"{address}/v1"
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {SECRET}"})
    for _ in range(600):
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            with direct.open(request, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server never answered")


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("llama")) as address:
        yield address


def settings(address: str, *more: str) -> tuple[str, ...]:
    pairs = ("answer.engine=openai", f"answer.base_url={address}", "answer.temperature=0.5", "answer.max_tokens=120")
    return tuple(part for pair in (*pairs, *more) for part in ("--set", pair))


def ask(bare: Studio, address: str, *more: str, **changes: str) -> str:
    done = bare.ok("ask", QUESTION, *settings(address, *more), "--json", OPENAI_API_KEY=SECRET, **changes)
    return str(done.json["answer"])


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text)) - set(WORDS)


def test_it_answers(talking: str, bare: Studio) -> None:
    first = ask(bare, talking)
    assert first.strip() and words(first) == set() and set(first) & {*STOPS, "…", "а", "о"}
    assert ask(bare, talking) == first, "an answer is kept"
    seeds = {ask(bare, talking, AVATARCTL_SEED=str(seed)) for seed in range(1, 5)}
    assert len(seeds) > 1 and all(words(one) == set() for one in seeds)
    run = bare.ok("runs", "show", "last", "--json").json
    assert SECRET not in json.dumps(run)


def test_its_model_is_in_the_key(talking: str, bare: Studio, tmp_path: Path) -> None:
    def key(address: str) -> str:
        planned = bare.ok("ask", QUESTION, *settings(address), "--dry-run", "--json", OPENAI_API_KEY=SECRET)
        return next(str(step["key"]) for step in planned.json["steps"] if step["stage"] == "answer")

    assert key(talking) == key(talking)
    with server(tmp_path, "sentences") as other:
        # The same name, as far as this server tells: it is the file's name that counts, and not where it lies.
        assert key(other) == key(talking)


def test_a_wrong_key_and_a_model_that_is_not_there(talking: str, bare: Studio) -> None:
    refused(bare.run("ask", QUESTION, *settings(talking), OPENAI_API_KEY="wrong"), 4, "wants another key")
    wanted = settings(talking, "answer.model=gpt-7")
    refused(bare.run("ask", QUESTION, *wanted, OPENAI_API_KEY=SECRET), 4, "does not have the model gpt-7")


def test_a_question_that_does_not_fit(talking: str, bare: Studio) -> None:
    """This server then sends an answer without an answer in it."""
    refused(bare.run("ask", QUESTION * 100, *settings(talking), OPENAI_API_KEY=SECRET), 1, "no answer", "more context")


def test_a_schema_binds_it(bare: Studio, tmp_path: Path) -> None:
    """This server refuses one of the two ways in which a schema is told, and follows the other."""
    with server(tmp_path, "sentences") as address:
        found = []
        for seed in range(4):
            done = bare.ok(
                "ask", QUESTION, *settings(address, "answer.emotions=on"), "--seed", str(seed), OPENAI_API_KEY=SECRET
            )
            if "asked again" not in done.err and "takes no schema" not in done.err:
                found.append(done.out)
    assert found, "the schema bound nothing"
    for text in found:
        assert words(text) == set() and not set(text) & set('{}[]":'), text


def test_a_film_of_what_it_says(talking: str, studio: Studio) -> None:
    short = settings(talking, "answer.max_tokens=12", "answer.passages=0", "check.enabled=false")
    film = studio.ok("ask", QUESTION, *short, "--render", OPENAI_API_KEY=SECRET)
    assert studio.delivered() == [film.out.strip().rpartition("/")[2]]
