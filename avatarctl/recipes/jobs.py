"""One job of a batch: the same recipes as `ask --render` and `render`, with what its job file says.

question  -> answers.ask              -+
text      -> answers.render_text       +-> film (+ movements) -> deliver
audio     -> answers.render_recording  |
idle      -> answers.render_idle      -+
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarctl import presets
from avatarctl.errors import BadInput
from avatarctl.files import readable_file
from avatarctl.jobs import Job
from avatarctl.presets import Settings
from avatarctl.recipes import answers, deliveries, documents, exports
from avatarctl.recipes.enroll import MAX_SAMPLE_BYTES
from avatarctl.recipes.film import Film, load_background
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run
from avatarctl.store.model import AvatarRecord
from avatarctl.store.store import Store
from avatarctl.text import emotions
from avatarctl.text.sentences import clean, split

MAX_TEXT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Asked:
    """What a job's recipe asked for, before anything was waited for."""

    film: Film
    moves: Handle | None


def settings_of(job: Job) -> Settings:
    """The job's settings from every layer. Raises `BadConfig`."""
    assignments = list(job.settings)
    if job.emotion:
        assignments.insert(0, f"animate.mood={emotions.canonical(job.emotion, 'emotion')}")
    if job.aspect:
        assignments.insert(0, f"animate.aspect={job.aspect}")
    if job.background:
        # A picture is given to the recipe; a colour of the user's own settings must not hide it.
        assignments.append(f"animate.background={'' if _picture(job) else job.background}")
    return presets.resolve(job.preset or None, assignments, avatar=job.avatar or None)


def recipe_of(job: Job) -> str:
    """The recipe's name in the ledger."""
    return "ask" if job.question else "render"


def avatar_of(job: Job, store: Store, settings: Settings) -> AvatarRecord:
    """Who is in the film. Raises `BadInput`."""
    return deliveries.find_avatar(store, job.avatar or None, settings)


def spoken_text(job: Job) -> str:
    """What the job's question, text or text file says, cleaned of what nobody says.

    Raises:
        BadInput: nothing is left, or the file cannot be read.
    """
    raw = job.question or job.text
    if job.text_file:
        path = readable_file(Path(job.text_file), MAX_TEXT_BYTES, "text")
        try:
            raw = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(f"{path} is not UTF-8", why=str(error), hint="save it as UTF-8") from error
        # A recording without its text is moved by sound alone; an empty file is not how that is asked for.
        split(clean(emotions.untagged(raw)))
    if job.audio and not raw:
        return ""
    text = clean(raw) if job.idle is None else ""
    if not text and job.idle is None:
        raise BadInput("there is nothing to say", hint="give a text with words in it")
    return text if job.question else raw


def request_of(job: Job, avatar: AvatarRecord, store: Store, said: str) -> dict[str, Any]:
    """What the ledger keeps of the job's run; see `answers.request_of`."""
    return answers.request_of(
        question=said if job.question else "",
        text=said if not job.question else "",
        idle=job.idle,
        title=Path(job.audio).stem if job.audio else "",
        avatar=avatar.id,
        documents=documents.known(store) if job.question else [],
        subtitles=job.subtitles,
        exports=exports.checked(job.exports),
        job=job.name,
    )


def ask_for(run: Run, job: Job, avatar: AvatarRecord, said: str, request: dict[str, Any]) -> Asked:
    """Ask for every step of the job's film. `request` learns the digests of what was read on the way."""
    behind = load_background(run, Path(job.background)) if _picture(job) else None
    recording = None
    if job.audio:
        readable_file(Path(job.audio), MAX_SAMPLE_BYTES * 4, "recording")
        recording = answers.load_recording(run, Path(job.audio))
    if not run.dry and (behind is not None or recording is not None):
        request.update(
            answers.request_of(
                background=behind.digest if behind else "", recording=recording.digest if recording else ""
            )
        )
        run.store.ledger.update_request(run.id, request)
    common: dict[str, Any] = {"background": behind}
    if job.idle is not None:
        film: Film | None = answers.render_idle(run, job.idle, avatar, **common)
    else:
        common["subtitles"] = job.subtitles or None
        if job.question:
            film = answers.ask(run, said, avatar=avatar, **common).film
        elif recording is not None:
            title = Path(job.audio).stem
            film = answers.render_recording(run, recording, avatar, title, text=said or None, **common)
        else:
            film = answers.render_text(run, said, avatar, **common)
    assert film is not None
    return Asked(film, exports.beside(run, exports.checked(job.exports)))


def _picture(job: Job) -> bool:
    """Job files hold the absolute path of a picture, or a colour."""
    return Path(job.background).is_absolute()
