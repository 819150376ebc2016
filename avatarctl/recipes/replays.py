"""A past run again, from what the ledger kept of its request."""

from __future__ import annotations

from dataclasses import dataclass

from avatarctl.errors import BadInput
from avatarctl.recipes import answers, film
from avatarctl.recipes.film import Film
from avatarctl.runtime.handles import Handle
from avatarctl.runtime.runner import Run
from avatarctl.store.model import AvatarRecord, RunRecord


@dataclass(frozen=True)
class Replay:
    """What the recipe makes: an answer's text, a film, or both."""

    text: Handle | None
    film: Film | None


def check(before: RunRecord) -> None:
    """Raises `BadInput` for a run whose request was not kept whole."""
    if before.recipe not in ("ask", "render"):
        raise BadInput(
            f"a run of {before.recipe} cannot be replayed", hint=f"give the command `avatarctl {before.recipe}` again"
        )
    if before.recipe == "render" and not any(map(before.request.get, ("text", "recording", "idle"))):
        raise BadInput("that run ended before it knew what to say", hint="give the command again")
    if before.recipe == "ask" and not any(map(before.request.get, ("question", "recording"))):
        raise BadInput("that run's question was not kept", hint="give the command again")


def makes_film(before: RunRecord) -> bool:
    """Whether the run was to make a film."""
    return bool(before.request.get("avatar"))


def title(before: RunRecord) -> str:
    """What the run was about, in its own words."""
    request = before.request
    return str(
        request.get("question")
        or request.get("title")
        or request.get("text")
        or (f"idle {request['idle']:g} s" if request.get("idle") else None)
        or request.get("name")
        or request.get("media")
        or request.get("query")
        or "film"
    )


def perform(run: Run, before: RunRecord) -> Replay:
    """The same recipe with the same inputs: the same documents and the same version of the avatar."""
    request = before.request
    subtitles = bool(request.get("subtitles")) or None
    avatar = _avatar(run, before)
    background = film.stored(run, str(request["background"])) if request.get("background") else None
    if before.recipe == "ask":
        given = answers.ask(
            run,
            film.stored(run, str(request["recording"])) if request.get("recording") else str(request["question"]),
            avatar=avatar,
            index=request.get("documents", []),
            subtitles=subtitles,
            background=background,
        )
        return Replay(given.text, given.film)
    if avatar is None:
        raise BadInput("that run had no avatar", hint="give the command again")
    if request.get("idle"):
        return Replay(None, answers.render_idle(run, float(request["idle"]), avatar, background=background))
    if request.get("recording"):
        recording = film.stored(run, str(request["recording"]))
        said = request.get("text")
        made = answers.render_recording(
            run,
            recording,
            avatar,
            title(before),
            text=None if said is None else str(said),
            subtitles=subtitles,
            background=background,
        )
        return Replay(None, made)
    return Replay(
        None, answers.render_text(run, str(request["text"]), avatar, subtitles=subtitles, background=background)
    )


def _avatar(run: Run, before: RunRecord) -> AvatarRecord | None:
    wanted = str(before.request.get("avatar", ""))
    return run.store.ledger.avatar(wanted) if wanted else None
