"""The engine `speak/heygen`: a sentence to speech by one of HeyGen's voices (POST /v3/voices/speech)."""

from __future__ import annotations

from pathlib import Path

from avatarctl.engines.cloud.download import download
from avatarctl.engines.cloud.heygen import TITLE, HeyGen, text_of
from avatarctl.engines.cloud.service import CloudEngine
from avatarctl.engines.cloud.spec import HeyGenVoiceParams
from avatarctl.engines.contract import Cancelled, Job
from avatarctl.errors import BadConfig, BadInput, StepFailed
from avatarctl.media import audio, wav
from avatarctl.media import spoken as pieces
from avatarctl.stages.catalog import DICTIONARY
from avatarctl.text import dictionary, sentences
from avatarctl.text import language as languages

_MOST_CHARACTERS = 5000
_LONGEST = 600.0
_SETTING = "speak.timeout"


class HeyGenVoiceEngine(CloudEngine):
    """A step is one request, or a few."""

    def run(self, job: Job) -> None:
        """Write speech.wav, at the loudness of all speech.

        Raises:
            BadConfig: no voice was chosen.
            BadInput: nothing to speak, or too much at a time.
            Unavailable: no key, a wrong one, no money, or nobody answers.
            StepFailed: HeyGen refused, or sent no speech.
        """
        params: HeyGenVoiceParams = job.params
        if not params.voice:
            raise BadConfig(
                f"{TITLE} has many voices, and none is chosen", hint="--set speak.voice=ID, as HeyGen has it"
            )
        written = job.inputs["text"].read_text(encoding="utf-8").strip()
        if not sentences.speakable(written) or len(written) > _MOST_CHARACTERS:
            raise BadInput(f"{TITLE} speaks 1 to {_MOST_CHARACTERS} characters", why=f"here are {len(written)}")
        language = languages.detect(written) if params.language == "auto" else params.language
        service = HeyGen(job, params.timeout, _SETTING)
        job.note(f"{len(written)} characters go to {TITLE}")
        job.progress(0, len(written), "characters")
        words = dictionary.read(job.inputs.get(DICTIONARY))
        wanted = {
            # What its voices make of a mark of stress is documented nowhere.
            "text": words.respelled(written).text.replace(dictionary.ACUTE, ""),
            "voice_id": params.voice,
            "input_type": "text",
            "language": {"cmn": "zh"}.get(language, language),
            "speed": params.rate,
        }
        made = service.call("POST", "/v3/voices/speech", wanted)
        arrived = job.out / "arrived"
        download(job, text_of(made, "audio_url"), arrived, title=TITLE, patience=params.timeout, setting=_SETTING)
        self._write(job, arrived)
        arrived.unlink()
        counted = made.get("duration")
        if isinstance(counted, int | float):
            job.used("seconds of speech", round(float(counted), 3))
        job.progress(len(written), len(written), "characters")

    def _write(self, job: Job, arrived: Path) -> None:
        params: HeyGenVoiceParams = job.params

        def check() -> None:
            if job.cancelled():
                raise Cancelled

        try:
            samples, rate = audio.decode(arrived, max_seconds=_LONGEST, what="speech", check=check)
        except BadInput as error:
            raise StepFailed(f"{TITLE} sent no speech", why=error.why or error.what, hint="try again") from error
        spoken = pieces.trimmed(samples, rate)
        if not len(spoken):
            raise StepFailed(f"{TITLE} sent no speech", why="it is silent", hint="try again")
        pause = sentences.SENTENCE_PAUSE if params.pause < 0 else params.pause
        wav.write_pcm(job.out / "speech.wav", pieces.joined([(spoken, pause)], rate, params.lead), rate)
