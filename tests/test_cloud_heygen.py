"""HeyGen's engines against a server that follows what HeyGen documents: uploads, jobs, films, and what goes wrong."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatarctl.engines.cloud import download, heygen, service
from avatarctl.engines.cloud.heygen_film import HeyGenFilmEngine
from avatarctl.engines.cloud.heygen_voice import HeyGenVoiceEngine
from avatarctl.engines.cloud.spec import HeyGenFilmParams, HeyGenVoiceParams
from avatarctl.engines.contract import Cancelled, Engine, Job
from avatarctl.errors import AvatarctlError, BadConfig, BadInput, StepFailed, Unavailable
from avatarctl.media import image, probe, wav
from avatarctl.stages.catalog import stage
from avatarctl.stages.params import Params
from tests.media_support import call_ffmpeg, read_pcm, tone
from tests.model_servers import Behaviour, ModelServer, Reply, serving

SECRET = "hunter2-abcdef"
SIGNED = "/files/film.mp4?Signature=hunter3"
KEY = "s1:" + "ab" * 32
TITLE = "avatarctl " + "ab" * 16
SECONDS = 1.5


class HeyGen:
    """What lies behind https://api.heygen.com: assets, videos that take a few looks, and a bucket with the files."""

    def __init__(self, server: ModelServer, film: bytes) -> None:
        self.server = server
        self.assets: list[bytes] = []
        self.wanted: list[dict[str, Any]] = []
        self.states: list[Any] = ["pending", "processing", "completed"]
        """Of looks at the film, one after the other; the last one stays. A pair is a status of HTTP and a body."""
        self.kept: list[dict[str, Any]] = []
        self.creating: Behaviour = lambda reply: reply.whole(
            200, {"data": {"video_id": "v1", "status": "waiting", "output_format": "mp4"}}
        )
        server.answer = self._post
        server.documents[SIGNED] = lambda reply: reply.whole(200, film, "video/mp4")
        server.documents["/v3/videos/v1"] = self._look
        server.documents[f"/v3/videos?title={TITLE.replace(' ', '+')}&limit=100"] = lambda reply: reply.whole(
            200, {"data": self.kept, "has_more": False, "next_token": None}
        )

    def _post(self, reply: Reply) -> None:
        if reply.path == "/v3/assets":
            self.assets.append(reply.body)
            number = len(self.assets)
            asset = {"asset_id": f"ast_{number}", "url": "https://x.invalid", "mime_type": "x/y", "size_bytes": 1}
            reply.whole(200, {"data": asset})
        elif reply.path == "/v3/videos":
            self.wanted.append(reply.body)
            self.creating(reply)
        else:
            reply.whole(404, {"error": {"code": "not_found", "message": "no such endpoint"}})

    def _look(self, reply: Reply) -> None:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, tuple):
            reply.whole(*state)
            return
        entry: dict[str, Any] = {"id": "v1", "status": state, "title": TITLE, "created_at": 1}
        if state == "completed":
            entry |= {"video_url": f"http://{self.server.address}{SIGNED}", "duration": SECONDS, "completed_at": 2}
        if state == "failed":
            entry |= {"failure_code": "no_face", "failure_message": "No face\ndetected."}
        reply.whole(200, {"data": entry})


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """As HeyGen sends one: 16:9, 30 frames a second, with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    picture = ("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=30:duration={SECONDS}")
    sound = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}")
    call_ffmpeg(*picture, *sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path.read_bytes()


@pytest.fixture
def there(film: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeyGen]:
    with serving() as server:
        monkeypatch.setenv("HEYGEN_API_BASE", f"http://{server.address}")
        monkeypatch.setenv("HEYGEN_API_KEY", SECRET)
        monkeypatch.setattr(service, "PAUSES", [0.01])
        monkeypatch.setattr(heygen, "LOOKS", [0.01])
        yield HeyGen(server, film)


class Step:
    """A step under way in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.out.mkdir()
        self.notes: list[str] = []
        self.used: dict[str, float] = {}
        self.over = threading.Event()

    def perform(self, engine: Engine, name: str, inputs: dict[str, Path], params: Params) -> dict[str, Any]:
        """The validator's facts."""
        for file in self.out.iterdir():
            file.unlink()
        self.notes.clear()
        job = Job(
            inputs=inputs,
            out=self.out,
            params=params,
            key=KEY,
            note=self.notes.append,
            used=self.used.__setitem__,
            cancelled=self.over.is_set,
        )
        engine.load({})
        contract = stage(name)
        try:
            engine.run(job)
        except AvatarctlError as error:
            told = f"{error.as_dict()} {self.notes}"
            assert SECRET not in told and "hunter3" not in told
            assert not [o for o in contract.outputs if (self.out / (o.role + o.suffix)).exists()]
            raise
        made = {o.role: path for o in contract.outputs if (path := self.out / (o.role + o.suffix)).exists()}
        assert sorted(self.out.iterdir()) == sorted(made.values()), "what was fetched is not to stay"
        return contract.validate(made, inputs, params)

    def film(self, seconds: float = SECONDS, photo: tuple[int, int] = (120, 90), **params: Any) -> dict[str, Any]:
        speech, portrait = self.folder / "speech", self.folder / "portrait"
        wav.write(speech, tone(seconds, 16_000), 16_000)
        image.write_png(portrait.with_suffix(".png"), np.full((*photo, 3), 90, np.uint8))
        portrait.with_suffix(".png").rename(portrait)
        inputs = {"speech": speech, "portrait": portrait}
        return self.perform(HeyGenFilmEngine(), "animate", inputs, HeyGenFilmParams(**{"size": 128, **params}))

    def speech(self, text: str = "Привет, мир.", words: str = "", **params: Any) -> dict[str, Any]:
        (self.folder / "text").write_text(text, encoding="utf-8")
        inputs = {"text": self.folder / "text"}
        if words:
            (self.folder / "words").write_text(words, encoding="utf-8")
            inputs["dictionary"] = self.folder / "words"
        return self.perform(HeyGenVoiceEngine(), "speak", inputs, HeyGenVoiceParams(**{"voice": "v-1", **params}))


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


# -- films


@pytest.mark.parametrize(("aspect", "fps", "size"), [("1:1", 25, (128, 128)), ("9:16", 50, (128, 228))])
def test_a_photo_speaks(there: HeyGen, step: Step, aspect: str, fps: int, size: tuple[int, int]) -> None:
    facts = step.film(aspect=aspect, fps=fps)
    assert (facts["width"], facts["height"], facts["fps"]) == (*size, fps) and facts["frames"] == math.ceil(
        SECONDS * fps
    )
    assert probe.decode_all(step.out / "clip.mp4").audio is None
    (wanted,) = there.wanted
    assert wanted == {
        "type": "image",
        "image": {"type": "asset_id", "asset_id": "ast_1"},
        "audio_asset_id": "ast_2",
        "title": TITLE,
        "aspect_ratio": aspect,
        "resolution": "720p",
        "fit": "cover",
        "expressiveness": "low",
        "output_format": "mp4",
    }
    assert step.used == {"seconds of film": SECONDS} and "1.5 s of speech go to HeyGen" in step.notes[0]
    assert there.server.deletes == ["/v3/videos/v1", "/v3/assets/ast_1", "/v3/assets/ast_2"]


def test_what_is_brought_there(there: HeyGen, step: Step) -> None:
    step.film(photo=(2400, 1800), size=1080, motion_prompt="nods", expressiveness="high")
    photo, speech = there.assets
    for body, name, media_type in ((photo, b"photo.png", b"image/png"), (speech, b"speech.wav", b"audio/wav")):
        border, _, rest = body.partition(b"\r\n")
        head, _, content = rest.partition(b"\r\n\r\n")
        assert head == (
            b'Content-Disposition: form-data; name="file"; filename="' + name + b'"\r\nContent-Type: ' + media_type
        )
        assert content.endswith(b"\r\n" + border + b"--\r\n")
    uploads = [
        h for h in there.server.headers if h.get("content-type", "").startswith("multipart/form-data; boundary=")
    ]
    assert len(uploads) == 2 and all(len(h["content-type"].partition("boundary=")[2]) <= 70 for h in uploads)
    assert (step.folder / "speech").read_bytes() in speech
    # HeyGen wants less than 2K.
    sent = step.folder / "sent.png"
    sent.write_bytes(photo.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0])
    assert image.png_size(sent) == (1440, 1920)
    assert there.wanted[0]["resolution"] == "1080p" and there.wanted[0]["motion_prompt"] == "nods"
    # The key goes to the service, and not to where its files lie.
    assert [path for path, h in zip(there.server.gets, _gets(there), strict=True) if "x-api-key" not in h] == [SIGNED]


def _gets(there: HeyGen) -> list[dict[str, str]]:
    return [h for h in there.server.headers if "content-length" not in h]


def test_a_film_under_way_is_not_paid_twice(there: HeyGen, step: Step) -> None:
    there.kept = [{"id": "v0", "status": "failed", "title": TITLE}, {"id": "v9", "status": "completed", "title": "a"}]
    there.kept.append({"id": "v1", "status": "processing", "title": TITLE})
    step.film()
    assert there.wanted == [] and there.assets == [] and "waiting for it" in step.notes[0]
    assert there.server.deletes == ["/v3/videos/v1"]
    there.server.documents = {k: v for k, v in there.server.documents.items() if not k.startswith("/v3/videos?")}
    step.film()
    assert len(there.wanted) == 1, "where films cannot be listed, one is made"


def test_a_film_that_takes_too_long_is_found_again(there: HeyGen, step: Step) -> None:
    there.states = ["processing"]
    with pytest.raises(StepFailed, match="still at work") as caught:
        step.film(timeout=1)
    assert "does not pay twice" in caught.value.hint and there.server.deletes == []
    there.kept, there.states = [{"id": "v1", "status": "processing", "title": TITLE}], ["completed"]
    step.film(timeout=1)
    assert len(there.wanted) == 1


def test_a_film_that_fails(there: HeyGen, step: Step) -> None:
    there.states = ["processing", "failed"]
    with pytest.raises(StepFailed, match="could not make the film") as caught:
        step.film()
    assert caught.value.why == "No face detected." and step.used == {}
    assert there.server.deletes == ["/v3/videos/v1", "/v3/assets/ast_1", "/v3/assets/ast_2"]


def test_a_look_may_fail(there: HeyGen, step: Step) -> None:
    there.states = [(500, b"oops"), (200, b"<html>"), (200, {"data": None}), (502, b""), "completed"]
    step.film()
    there.states = [(500, b"oops")]
    with pytest.raises(StepFailed, match="in trouble"):
        step.film()
    there.states = [(401, {"error": {"code": "unauthorized", "message": f"bad {SECRET}"}})]
    with pytest.raises(Unavailable, match="does not accept the key"):
        step.film()


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (400, "invalid_parameter", StepFailed, "refused"),
        (402, "insufficient_credit", Unavailable, "paid first"),
        (403, "forbidden", Unavailable, "the key"),
    ],
)
def test_refusals(there: HeyGen, step: Step, status: int, code: str, kind: type[AvatarctlError], words: str) -> None:
    told = {"error": {"code": code, "message": "Your account has 5 credits.", "doc_url": "https://x.invalid"}}
    there.creating = lambda reply: reply.whole(status, told)
    with pytest.raises(kind, match=words) as caught:
        step.film()
    assert "5 credits" in caught.value.why and len(there.wanted) == 1
    assert there.server.deletes == ["/v3/assets/ast_1", "/v3/assets/ast_2"]


def test_an_answer_that_is_lost_costs_no_files(there: HeyGen, step: Step) -> None:
    """The film may be under way, with these files: the next try finds it by its title."""
    there.creating = lambda reply: reply.die()
    with pytest.raises(StepFailed, match="broke off"):
        step.film()
    assert len(there.wanted) == 1 and there.server.deletes == []


def test_too_many_films_at_a_time(there: HeyGen, step: Step) -> None:
    good, left = there.creating, [1]
    told = {"error": {"code": "rate_limit_exceeded", "message": "3 jobs"}}
    there.creating = lambda reply: reply.whole(429, told, Retry_After="0") if left and left.pop() else good(reply)
    step.film()
    assert len(there.wanted) == 2 and any("asking again" in note for note in step.notes)


def test_a_film_elsewhere(there: HeyGen, step: Step, film: bytes) -> None:
    with serving() as bucket:
        bucket.documents["/moved"] = lambda reply: reply.whole(200, film, "video/mp4")
        there.server.documents[SIGNED] = lambda reply: reply.redirect(f"http://{bucket.address}/moved")
        step.film()
        assert bucket.gets == ["/moved"] and "x-api-key" not in bucket.headers[0]
    there.server.documents[SIGNED] = lambda reply: reply.redirect(SIGNED)
    with pytest.raises(StepFailed, match="cannot be understood"):
        step.film()
    there.server.documents[SIGNED] = lambda reply: reply.redirect("http://192.0.2.1/film.mp4")
    with pytest.raises(StepFailed) as caught:
        step.film()
    assert "clear text" in caught.value.why


def test_a_download_that_breaks_is_tried_again(there: HeyGen, step: Step, film: bytes) -> None:
    left = [1, 1]

    def breaking(reply: Reply) -> None:
        if left and left.pop():
            reply.cut_short(film, 1000)
        else:
            reply.whole(200, film, "video/mp4")

    there.server.documents[SIGNED] = breaking
    step.film()
    left += [1, 1, 1]
    with pytest.raises(StepFailed, match="cannot be fetched"):
        step.film()
    there.server.documents[SIGNED] = (403, b"<Error>expired</Error>")
    with pytest.raises(StepFailed, match="cannot be fetched"):
        step.film()
    assert there.server.deletes.count("/v3/videos/v1") == 1, "a film that is not here must stay there"


@pytest.mark.parametrize("what", [b"<html>", b"", "too short", "too long"])
def test_a_film_that_is_none(there: HeyGen, step: Step, monkeypatch: pytest.MonkeyPatch, what: bytes | str) -> None:
    if isinstance(what, bytes):
        there.server.documents[SIGNED] = lambda reply: reply.whole(200, what)
    if what == "too long":
        monkeypatch.setattr(download, "MOST_BYTES", 1000)
    with pytest.raises(StepFailed) as caught:
        step.film(SECONDS + 1.0 if what == "too short" else SECONDS)
    assert there.server.deletes == [] and (what == "too long" or "--take 1" in caught.value.hint)


def test_a_film_a_little_shorter_than_the_speech_stays_on_its_last_picture(there: HeyGen, step: Step) -> None:
    assert step.film(SECONDS + 0.3)["frames"] == 45


def test_a_run_that_ends(there: HeyGen, step: Step) -> None:
    there.states = ["processing"]
    look = there.server.documents["/v3/videos/v1"]
    assert callable(look)

    def looked(reply: Reply) -> None:
        look(reply)
        step.over.set()

    there.server.documents["/v3/videos/v1"] = looked
    with pytest.raises(Cancelled):
        step.film()
    assert there.server.deletes == []


def test_speech_that_is_too_long(there: HeyGen, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heygen, "MOST_UPLOAD_BYTES", 20_000)
    with pytest.raises(BadInput, match="32 MB"):
        step.film()


# -- speech


@pytest.fixture
def spoken(there: HeyGen, tmp_path: Path) -> HeyGen:
    """The same service, which also speaks."""
    call_ffmpeg("-f", "lavfi", "-i", "sine=frequency=220:duration=1", tmp_path / "speech.mp3")
    there.server.documents["/audio"] = (200, (tmp_path / "speech.mp3").read_bytes())
    words = [{"word": "Привет", "start": 0.0, "end": 0.5}]
    made = {"audio_url": f"http://{there.server.address}/audio", "duration": 1.0, "word_timestamps": words}
    there.server.answer = lambda reply: reply.whole(200, {"data": made})
    return there


def test_a_dictionary_is_followed(spoken: HeyGen, step: Step) -> None:
    step.speech("Это Ollama и замок.", words="Ollama = оллама\nзамок = з+амок\n")
    ((_, body),) = spoken.server.posts
    assert body["text"] == "Это Оллама и замок."


def test_a_sentence_is_spoken(spoken: HeyGen, step: Step) -> None:
    facts = step.speech(pause=0.5, rate=1.5)
    ((path, body),) = spoken.server.posts
    assert path == "/v3/voices/speech" and body == {
        "text": "Привет, мир.",
        "voice_id": "v-1",
        "input_type": "text",
        "language": "ru",
        "speed": 1.5,
    }
    assert 1.5 < facts["duration"] < 1.75 and step.used == {"seconds of speech": 1.0}
    samples = read_pcm(step.out / "speech.wav")
    assert not samples[-1000:].any() and abs(samples).max() > 3000


@pytest.mark.parametrize("document", [{"data": {}}, {"data": None}, {}, [], {"data": {"audio_url": 3}}])
def test_no_speech_comes(spoken: HeyGen, step: Step, document: Any) -> None:
    spoken.server.answer = lambda reply: reply.whole(200, document)
    with pytest.raises(StepFailed, match="cannot be understood"):
        step.speech()


@pytest.mark.parametrize("content", [b"<html>", b""])
def test_speech_that_is_none(spoken: HeyGen, step: Step, content: bytes) -> None:
    spoken.server.documents["/audio"] = (200, content)
    with pytest.raises(StepFailed, match="sent no speech"):
        step.speech()


def test_what_cannot_be_spoken(spoken: HeyGen, step: Step) -> None:
    with pytest.raises(BadConfig, match="none is chosen"):
        step.speech(voice="")
    for text in ("...", "а" * 5001):
        with pytest.raises(BadInput):
            step.speech(text)
    assert spoken.server.posts == []
