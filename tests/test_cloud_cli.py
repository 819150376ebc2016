"""Other companies' machines through the command line: allowed by the user alone, counted, and no key kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarctl import config
from avatarctl.errors import BadConfig
from avatarctl.media import probe, wav
from tests.media_support import call_ffmpeg, tone
from tests.model_servers import ModelServer, Reply, serving, sse
from tests.test_cloud import WHOLE, listened
from tests.tools import Studio, refused

pytestmark = pytest.mark.unjudged

SECRET = "hunter2-abcdef"
QUESTION = "Кто первым полетел в космос?"
GEMINI = ("--set", "answer.engine=gemini")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serving() as made:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://{made.address}")
        monkeypatch.setenv("GEMINI_API_KEY", SECRET)
        monkeypatch.setenv("DEEPGRAM_API_BASE", f"http://{made.address}")
        monkeypatch.setenv("DEEPGRAM_API_KEY", SECRET)
        made.answer = sse(WHOLE)
        yield made


def test_nothing_is_sent_before_it_is_allowed(server: ModelServer, bare: Studio) -> None:
    words = ("answer/gemini sends the question", "to Google", "AVATARCTL_CLOUD_ALLOW=gemini")
    refused(bare.run("ask", QUESTION, *GEMINI), 4, *words)
    refused(bare.run("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="deepgram,heygen"), 4, *words)
    # A folder that somebody else wrote allows nothing, and neither does a preset.
    (bare.work / "avatarctl.toml").write_text('[cloud]\nallow = true\n[answer]\nengine = "gemini"\n')
    refused(bare.run("ask", QUESTION), 3, "a folder cannot allow")
    (bare.work / "avatarctl.toml").unlink()
    (bare.home / "config" / "presets").mkdir(parents=True)
    (bare.home / "config" / "presets" / "far.toml").write_text('extends = "lite"\n[cloud]\nallow = true\n')
    refused(bare.run("ask", QUESTION, "--preset", "far"), 3, "unknown key 'cloud'")
    planned = bare.run("ask", QUESTION, *GEMINI, "--dry-run", "--json")
    (step,) = planned.json["steps"]
    assert step["verdict"] == "run" and step["reason"].endswith("to Google, which is refused")
    assert planned.code == 4 and words[2] in planned.err
    assert server.posts == []
    (bare.home / "config" / "avatarctl.toml").write_text('[cloud]\nallow = ["gemini"]\n')
    (step,) = bare.ok("ask", QUESTION, *GEMINI, "--dry-run", "--json").json["steps"]
    assert step["reason"].endswith("to Google")
    result = bare.ok("ask", QUESTION, *GEMINI)
    assert "Гагарин" in result.out and "the question goes to Google" in result.err
    refused(bare.run("ask", f"{QUESTION}!", *GEMINI, AVATARCTL_CLOUD_ALLOW="off"), 4, *words)
    # What is kept is sent nowhere, so nothing stands in its way.
    (bare.home / "config" / "avatarctl.toml").unlink()
    assert bare.ok("ask", QUESTION, *GEMINI, GEMINI_API_KEY="").out == result.out
    bare.ok("ask", QUESTION, *GEMINI, "--dry-run", GEMINI_API_KEY="")
    assert len(server.posts) == 1


def test_what_was_counted_is_told(server: ModelServer, bare: Studio) -> None:
    bare.ok("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="1")
    assert "answer/gemini was counted: 90 input tokens, 7 output tokens" in bare.ok("runs", "show", "last").out
    (step,) = [s for s in bare.ok("runs", "show", "last", "--json").json["steps"] if s["stage"] == "answer"]
    assert step["facts"]["used"] == {"input tokens": 90, "output tokens": 7}
    # Taken from the cache, it is not counted again.
    bare.ok("ask", QUESTION, *GEMINI)
    assert "counted" not in bare.ok("runs", "show", "last").out


def test_a_question_aloud(server: ModelServer, bare: Studio) -> None:
    server.answer = lambda reply: reply.whole(200, listened())
    wav.write(bare.work / "question.wav", tone(2.0, 16_000), 16_000)
    asked = ("ask", "--audio", "question.wav", "--set", "transcribe.engine=deepgram")
    refused(bare.run(*asked), 4, "transcribe/deepgram sends the recording to Deepgram")
    result = bare.ok(*asked, AVATARCTL_CLOUD_ALLOW="deepgram")
    assert "2.0 s of sound go to Deepgram" in result.err and "heard: Who flew?" in result.err
    assert "transcribe/deepgram was counted: 2 seconds of sound" in bare.ok("runs", "show", "last").out


def test_a_film_of_two_sentences(server: ModelServer, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEYGEN_API_BASE", f"http://{server.address}")
    monkeypatch.setenv("HEYGEN_API_KEY", SECRET)
    service = Filming(server, studio.work)
    asked = ("render", "Раз. Два, три.", "--set", "animate.engine=heygen")
    refused(studio.run(*asked), 4, "animate/heygen sends the photo and the speech to HeyGen")
    # Before anything was done: not even spoken, and no run is in the ledger.
    assert server.posts == [] and "render" not in studio.ok("runs", "list").out
    film = studio.ok(*asked, AVATARCTL_CLOUD_ALLOW="heygen").out.strip()
    assert len(service.made) == 2 and sorted(d for d in server.deletes if "videos" in d) == sorted(service.made)
    made = probe.decode_all(studio.work / film)
    assert made.video is not None and (made.video.width, made.video.height) == (256, 256) and made.audio is not None
    # Nothing is paid twice.
    count = len(server.posts)
    studio.ok(*asked, "--out", "again.mp4", AVATARCTL_CLOUD_ALLOW="heygen")
    assert len(server.posts) == count


def test_a_run_that_was_killed_does_not_pay_twice(
    server: ModelServer, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEYGEN_API_BASE", f"http://{server.address}")
    monkeypatch.setenv("HEYGEN_API_KEY", SECRET)
    service = Filming(server, studio.work)
    service.ready.clear()
    asked = ("render", "Раз.", "--set", "animate.engine=heygen")
    process = studio.start(*asked, AVATARCTL_CLOUD_ALLOW="heygen")
    assert service.looked.wait(60)
    process.kill()
    process.communicate(timeout=60)
    assert studio.delivered() == []
    service.ready.set()
    assert "waiting for it" in studio.ok(*asked, AVATARCTL_CLOUD_ALLOW="heygen").err
    assert len(service.made) == 1 and len(studio.delivered()) == 1


class Filming:
    """HeyGen's interface, which films the photo that it was sent for as long as the speech that it was sent."""

    def __init__(self, server: ModelServer, folder: Path) -> None:
        self.server, self.folder, self.made = server, folder, list[str]()
        self.assets: dict[str, bytes] = {}
        self.films: list[dict[str, str]] = []
        self.ready, self.looked = threading.Event(), threading.Event()
        self.ready.set()
        server.answer = self._post
        server.documents["/v3/videos"] = lambda reply: reply.whole(200, {"data": self.films, "has_more": False})

    def _post(self, reply: Reply) -> None:
        if reply.path == "/v3/assets":
            name = f"a{len(self.assets)}"
            self.assets[name] = reply.body.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
            reply.whole(200, {"data": {"asset_id": name, "url": "", "mime_type": "", "size_bytes": 1}})
            return
        wanted = reply.body
        photo, speech, film = (self.folder / f"{wanted['title']}.{end}" for end in ("png", "wav", "mp4"))
        photo.write_bytes(self.assets[wanted["image"]["asset_id"]])
        speech.write_bytes(self.assets[wanted["audio_asset_id"]])
        looped = ("-loop", "1", "-framerate", "25", "-i", photo, "-i", speech, "-shortest", "-vf", "scale=320:180")
        call_ffmpeg(*looped, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", film)
        name = f"/v3/videos/v{len(self.made)}"
        self.made.append(name)
        number = name.rpartition("/")[2]
        done = {"id": number, "status": "completed", "video_url": f"http://{self.server.address}{name}.mp4"}
        under_way = {"id": number, "status": "processing", "title": wanted["title"]}

        def look(reply: Reply) -> None:
            reply.whole(200, {"data": done if self.ready.is_set() else under_way})
            self.looked.set()

        self.films.append(under_way)
        self.server.documents[f"{name}.mp4"] = (200, film.read_bytes())
        self.server.documents[name] = look
        reply.whole(200, {"data": {"video_id": number, "status": "waiting"}})


def test_the_key_is_kept_nowhere(server: ModelServer, bare: Studio) -> None:
    bare.ok("-v", "ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="gemini")
    server.answer = lambda reply: reply.whole(500, {"error": {"message": f"the key {SECRET} is odd"}})
    result = bare.run("-v", "ask", f"{QUESTION}?", *GEMINI, AVATARCTL_CLOUD_ALLOW="gemini")
    assert result.code == 1 and SECRET not in result.out + result.err and "***" in result.err
    kept = [p for folder in (bare.home, bare.work) for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    assert kept and [p.name for p in kept if SECRET.encode() in p.read_bytes()] == []


FAR = {"AVATARCTL_CLOUD_ALLOW": "1", "GEMINI_API_KEY": SECRET, "HEYGEN_API_KEY": SECRET}


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        (FAR, "AVATARCTL_OFFLINE"),
        ({**FAR, "AVATARCTL_CLOUD_ALLOW": "gemini"}, "sends the photo and the speech"),
        ({**FAR, "AVATARCTL_OFFLINE": "", "HEYGEN_API_KEY": ""}, "export HEYGEN_API_KEY"),
    ],
)
def test_a_stage_that_comes_late_is_refused_before_any_other_begins(
    studio: Studio, environment: dict[str, str], word: str
) -> None:
    known = studio.ok("runs", "list").out
    far = ("--set", "animate.engine=heygen")
    for asked in (("ask", QUESTION, "--render"), ("render", "Раз.")):
        refused(studio.run(*asked, *far, **environment), 4, word)
    planned = studio.run("render", "--idle", "2", *far, "--dry-run", **environment)
    assert planned.code == 4 and "which is refused" in planned.out and word in planned.err
    (studio.work / "jobs.yaml").write_text("jobs:\n- text: Раз.\n  set: {animate: {engine: heygen}}\n")
    looked = studio.run("batch", "check", "jobs.yaml", **environment)
    assert looked.code == 4 and word in looked.err
    refused(studio.run("batch", "run", "jobs.yaml", **environment), 4, word)
    assert studio.ok("runs", "list").out == known and studio.delivered() == []
    # An answer in text needs no film.
    studio.ok("ask", QUESTION, *far, **environment)


def test_a_batch_that_sends_nothing_needs_no_leave(server: ModelServer, studio: Studio) -> None:
    def write(*questions: str) -> None:
        jobs = "".join(f"- question: {question}\n" for question in questions)
        defaults = "defaults: {set: {answer.engine: gemini}}\n"
        (studio.work / "jobs.yaml").write_text(f"{defaults}jobs:\n{jobs}", encoding="utf-8")

    write(QUESTION)
    refused(studio.run("batch", "run", "jobs.yaml"), 4, "answer/gemini sends the question")
    studio.ok("batch", "run", "jobs.yaml", AVATARCTL_CLOUD_ALLOW="gemini")
    assert len(server.posts) == 1
    # Leave is taken back, and the key is gone.
    studio.ok("batch", "check", "jobs.yaml", GEMINI_API_KEY="")
    (job,) = studio.ok("batch", "run", "jobs.yaml", "--json", GEMINI_API_KEY="").json["jobs"]
    assert job["cached"]
    # What would be sent is refused alone, before anything is made for it.
    write(QUESTION, "Кто вторым?")
    known = len(studio.ok("runs", "list", "--json").json["runs"])
    checked = studio.run("batch", "check", "jobs.yaml")
    assert checked.code == 4 and "jobs.yaml:4" in checked.err and "jobs.yaml:3" not in checked.err
    result = studio.run("batch", "run", "jobs.yaml", "--json")
    first, second = result.json["jobs"]
    assert result.code == 1 and (first["status"], second["status"]) == ("done", "failed")
    assert "answer/gemini sends the question" in second["error"]["message"]
    assert len(server.posts) == 1
    assert len(studio.ok("runs", "list", "--json").json["runs"]) == known + 1, "the second has not begun"


def test_other_machines_are_refused_offline(bare: Studio) -> None:
    result = bare.run("ask", QUESTION, *GEMINI, AVATARCTL_CLOUD_ALLOW="1", GEMINI_API_KEY=SECRET)
    refused(result, 4, "AVATARCTL_OFFLINE")


def test_doctor_says_what_a_cloud_wants(bare: Studio) -> None:
    (bare.home / "config" / "presets").mkdir(parents=True)
    preset = 'extends = "lite"\n[wants]\nmemory_gb = 1\n[answer]\nengine = "gemini"\n'
    (bare.home / "config" / "presets" / "far.toml").write_text(preset)
    said = bare.run("doctor", "--json", GEMINI_API_KEY="").out
    assert "answer/gemini sends" in said and "Google wants a key" in said and "export GEMINI_API_KEY=" in said
    said = bare.run("doctor", "--json", GEMINI_API_KEY=SECRET, AVATARCTL_CLOUD_ALLOW="gemini").out
    assert "answer/gemini sends" not in said and "Google wants a key" not in said and SECRET not in said
    assert "may send something away: gemini" in said


def test_no_preset_of_ours_chooses_a_cloud() -> None:
    from avatarctl import presets
    from avatarctl.engines import registry

    clouds = {spec.name for spec in registry.specs() if spec.cloud is not None}
    assert {"deepgram", "gemini", "heygen"} <= clouds
    for name in presets.available():
        assert not clouds & {table.get("engine") for table in presets.read(name).values() if isinstance(table, dict)}


@pytest.mark.parametrize(
    "text", ['[cloud]\nallow = "gemini"', "cloud = 1", "[cloud]\nalow = true", "[cloud]\nallow=[1]"]
)
def test_an_odd_table_allows_nothing(isolated: Path, text: str) -> None:
    file = config.paths().user_file
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(BadConfig):
        config.cloud_allows("gemini")
    assert config.cloud_allows("gemini", {"AVATARCTL_HOME": str(isolated), "AVATARCTL_CLOUD_ALLOW": "yes"})
