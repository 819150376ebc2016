"""The application: which commands there are, options that all of them share, and how errors end a process."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from avatarctl import __version__
from avatarctl.cli.options import prepare_streams, reader_gone, state
from avatarctl.errors import AvatarctlError, BadInput, Stopped, Unavailable

# name: (module, help). The help stands here too, so that listing the commands imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "ask": ("ask", "Answer a question, in text or on film."),
    "render": ("render", "Turn a text or a recording into a film."),
    "enroll": ("enroll", "Make an avatar from a photo and a voice sample."),
    "upscale": ("upscale", "Make a film or a picture larger."),
    "check": ("check", "Measure a film, and judge it by the preset's limits."),
    "replay": ("replay", "Perform a past run again, with something changed."),
    "avatars": ("avatars", "The enrolled people: list, show, rm."),
    "knowledge": ("knowledge", "The documents that answers come from: add, list, search, rm."),
    "batch": ("batch", "Many films from a job file: run, check, status, retry, cancel, explain, schema."),
    "runs": ("runs", "Past runs and their steps: list, show."),
    "report": ("report", "A run or a batch as one HTML page, with the film in it."),
    "presets": ("presets", "Named choices of engines: list, show."),
    "models": ("models", "Weights and demo portraits: list, pull, verify, rm."),
    "engines": ("engines", "Environments of heavy engines: list, install, rm."),
    "cache": ("cache", "What is kept, and what may go: stats, verify, gc, pin."),
    "ledger": ("ledger", "What is known of every run: backup, check, restore."),
    "doctor": ("doctor", "Check this installation; say which presets this machine can run."),
}


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Typer carries a Click of its own, or depends on one; either way this is what a usage error is.
USAGE_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class LazyGroup(TyperGroup):
    """Knows every command's name and help, and imports a command's module when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, help_text = COMMANDS[cmd_name]
        if _listing():
            return TyperCommand(cmd_name, help=help_text, rich_markup_mode=None)
        command: Any = get_command(importlib.import_module(f"avatarctl.cli.{module}").app)
        command.name = cmd_name
        return command


def _listing() -> bool:
    """Whether only names and help lines are wanted (`avatarctl --help`)."""
    return not any(a in COMMANDS for a in state.arguments)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"avatarctl {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help="A question becomes a film of a person answering it, on your own machine.")
def _options(
    ctx: typer.Context,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Nothing but the result and errors."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Also tracebacks and every step's key."),
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    state.quiet = quiet or state.quiet
    state.verbose = verbose or state.verbose


def run(arguments: Sequence[str]) -> int:
    """Perform a command line; the exit code as the README lists them."""
    prepare_streams()
    _install_signals()
    try:
        state.arguments = _lift_common(arguments)
        return _perform(state.arguments)
    except BrokenPipeError:
        return _reader_gone()


def _reader_gone() -> int:
    """All that was wanted has been read."""
    reader_gone()
    return 0


def _lift_common(arguments: Sequence[str]) -> list[str]:
    """Let -q, -v and their long forms stand anywhere before `--`, not only before the command."""
    rest: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--":
            return [*rest, *arguments[i:]]
        if argument in ("-q", "--quiet"):
            state.quiet = True
        elif argument in ("-v", "--verbose"):
            state.verbose = True
        else:
            if argument == "--json":
                state.json = True
            rest.append(argument)
    return rest


def _perform(arguments: list[str]) -> int:
    try:
        result = get_command(app).main(args=arguments, prog_name="avatarctl", standalone_mode=False)
        sys.stdout.flush()
        _ignore_signals()
        return int(result) if isinstance(result, int) else 0
    except SystemExit:
        # Click's own answer to a broken pipe, and to nothing else outside its standalone mode.
        return _reader_gone()
    except typer.Exit as leave:
        return int(leave.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return _report(Stopped(signal.SIGINT))
    except (AvatarctlError, Stopped) as error:
        return _report(error)
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(error.format_message() + "\n")  # type: ignore[attr-defined]
            return BadInput.exit_code
        return _report(_usage(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _report(_environment(error), error)
    except UnicodeEncodeError as error:
        return _report(BadInput("a name or text of this command is not UTF-8", why=str(error)), error)
    except Exception as error:
        if (stopped := _signal_behind(error)) is not None:
            return _report(stopped)
        fault = AvatarctlError("avatarctl has a fault", why=f"{type(error).__name__}: {error}", hint="-v shows where")
        return _report(fault, error)


def _signal_behind(error: BaseException | None) -> Stopped | None:
    """The signal that an error comes from: what is raised while Python makes a class, it wraps in one of its own."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error


def _environment(error: OSError) -> AvatarctlError:
    from avatarctl.store.faults import LOOK_AT_KERNEL, disk_fails, disk_is_full

    if disk_is_full(error):
        return Unavailable("the disk is full", hint="make room, or run avatarctl cache gc")
    if disk_fails(error):
        return Unavailable("a disk fails", why=str(error), hint=LOOK_AT_KERNEL)
    where = f" ({error.filename})" if error.filename else ""
    return Unavailable(f"the system refused: {error.strerror or error}{where}")


def _usage(error: Any) -> BadInput:
    """Wrong arguments, in our own form."""
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "avatarctl"
    return BadInput(error.format_message(), hint=f"{path} --help")


def _report(error: AvatarctlError | Stopped, cause: BaseException | None = None) -> int:
    """One line for what, why and what to do, on stderr; JSON when the result would have been JSON."""
    if isinstance(error, Stopped):
        _show_cursor()
    if state.json:
        sys.stderr.write(json.dumps(error.as_dict(), ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {_one_line(error.what)}\n")
        if error.why:
            sys.stderr.write(f"  why: {_one_line(error.why)}\n")
        if error.hint:
            sys.stderr.write(f"  try: {_one_line(error.hint)}\n")
    if state.verbose:
        import traceback

        traceback.print_exception(cause or error.__cause__ or error, file=sys.stderr)
    return error.exit_code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_cursor() -> None:
    """A live display hides it, and a signal may come before the display can be closed."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")


def _ignore_signals() -> None:
    """All is done and told: a signal that comes now must not make a success look like a failure."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _install_signals() -> None:
    """The first signal ends the run in order; a second one ends the process at once. `nohup` is respected.

    Python drops what is raised while it calls back from C, as the imports' locks do when they are freed: a signal that
    comes just then is given once more.
    """
    seen = False
    usual = sys.unraisablehook

    def dropped(unraisable: Any) -> None:
        nonlocal seen
        if not isinstance(unraisable.exc_value, Stopped):
            usual(unraisable)
            return
        import threading

        seen = False
        again = threading.Timer(0.01, os.kill, (os.getpid(), unraisable.exc_value.signal_number))
        again.daemon = True
        again.start()

    def stop(number: int, frame: object) -> None:
        nonlocal seen
        if seen:
            _show_cursor()
            os._exit(128 + number)
        seen = True
        raise Stopped(number)

    handler: Callable[[int, Any], None] = stop
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    sys.unraisablehook = dropped
