"""Every ffmpeg process is started here, from a command line that ffmpeg-python compiled.

Two things hold for all of them. A child never outlives its owner: it holds the far end of a pipe that we
feed or read, so it meets an end of file or a broken pipe even after a SIGKILL of this process, and any
exception kills it at once. (`PR_SET_PDEATHSIG` would need code between fork and exec, which is unsafe
beside threads, and it follows the starting thread, not the process.) And input is opened by demuxers that
are named: playlists, DASH manifests and concat scripts make ffmpeg open whatever files they mention.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import ffmpeg

from avatarctl.errors import AvatarctlError, BadInput, StepFailed, Unavailable

SOUND_FORMATS = "wav,w64,aiff,caf,mp3,flac,ogg,mov,matroska,aac,amr"
"""Demuxers for sound from outside (`mov` covers mp4 and m4a, `matroska` webm): none opens a second file."""

FILM_FORMATS = "mov,matroska,avi"
"""Demuxers for films from outside."""

PIPE_BYTES = 1 << 20
_PIPED = {"fflags": "+bitexact", "flush_packets": 0}
"""Without the second, every packet of sound and every line of a listing wakes the reader."""
_CHECK_SECONDS = 0.2

_OLDEST_LIBAVUTIL = (57, 28)  # ffmpeg 5.1, the first with -fps_mode and named channel layouts
_PROGRESS = re.compile(rb"([a-z0-9_]+)= *(\S+)\s*$")
_GENERIC = (
    "Conversion failed",
    "Error opening input",
    "Error opening output",
    "Error submitting",
    "Error while",
    "Error during",
    "Error processing",
    "Error marking",
    "Error sending",
    "Error muxing",
    "Error writing",
    "Decode error rate",
    "Nothing was written",
    "Task finished",
    "Terminating thread",
    "Exiting",
    "Last message repeated",
)
_PLAIN = {
    "Invalid data found": "it is of no kind that is read here, or damaged",
    "moov atom not found": "its end is missing: it was not saved or copied whole",
}
"""What people can make nothing of, and what it means."""


@cache
def binary() -> str:
    """The ffmpeg to run: `AVATARCTL_FFMPEG`, else the one on PATH if it will do, else the packaged one.

    Raises:
        Unavailable: there is none, or the one that was asked for cannot be used.
    """
    named = os.environ.get("AVATARCTL_FFMPEG")
    if named:
        complaint = _complaint(named)
        if complaint:
            raise Unavailable(
                "the ffmpeg of AVATARCTL_FFMPEG cannot be used", why=complaint, hint="unset AVATARCTL_FFMPEG"
            )
        return named
    found = shutil.which("ffmpeg")
    complaint = _complaint(found) if found else "it is not on PATH"
    if found and not complaint:
        return found
    packaged = _packaged()
    if packaged:
        return str(packaged)
    raise Unavailable("ffmpeg cannot be used", why=complaint, hint="pip install imageio-ffmpeg")


def _packaged() -> Path | None:
    """The binary inside the wheel of imageio-ffmpeg, found without importing that package."""
    spec = find_spec("imageio_ffmpeg")
    if spec is None or spec.origin is None:
        return None
    candidates = sorted((Path(spec.origin).parent / "binaries").glob("ffmpeg-*"))
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def _complaint(program: str) -> str:
    """Why this ffmpeg will not do; empty when it will."""
    try:
        banner = subprocess.run(
            [program, "-version"], capture_output=True, text=True, errors="replace", timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program} does not start: {type(error).__name__}"
    # The library's version, because builds from git carry no release number.
    version = re.search(r"^libavutil\s+(\d+)\.\s*(\d+)", banner, re.MULTILINE)
    if version is None or (int(version[1]), int(version[2])) < _OLDEST_LIBAVUTIL:
        return f"{program} is older than 5.1"
    if "--enable-libx264" not in banner:
        return f"{program} was built without libx264"
    if "--disable-encoders" in banner and "--enable-encoder=aac" not in banner:
        return f"{program} was built without an AAC encoder"
    return ""


def source(path: Path, formats: str, **options: Any) -> Any:
    """An input node for a file, opened only if its content is one of `formats`, whatever its name says."""
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=formats, **options)


def sink(*streams: Any, path: Path, **options: Any) -> Any:
    """An output node for a file, without encoder names and times in it."""
    return ffmpeg.output(*streams, f"file:{path}", fflags="+bitexact", **options)


def to_pipe(*streams: Any, **options: Any) -> Any:
    """An output node that the owner of the child reads."""
    return ffmpeg.output(*streams, "pipe:1", **_PIPED, **options)


def to_file(*streams: Any, file: IO[bytes], **options: Any) -> Any:
    """An output node beside another one, into an open file that has to be among the `files` of the child."""
    return ffmpeg.output(*streams, f"pipe:{file.fileno()}", **_PIPED, **options)


def command(stream: Any, level: str = "error") -> list[str]:
    """The arguments of the process, program first."""
    arguments: list[str] = ffmpeg.compile(
        stream, cmd=[binary(), "-nostdin", "-hide_banner", "-nostats", "-v", f"level+{level}"], overwrite_output=True
    )
    return arguments


def _argument(word: str) -> bytes:
    """A file's name as the system has it. A text that the locale cannot write, a film's title, is UTF-8 to ffmpeg."""
    try:
        return os.fsencode(word)
    except UnicodeEncodeError:
        return word.encode("utf-8", "surrogateescape")


class Child:
    """One running ffmpeg. Leaving the `with` block by an exception kills it; otherwise `finish` must be called.

    Args:
        stream: an output node of ffmpeg-python.
        what: what is being done, for the error: "the film cannot be decoded".
        blame: the class of error raised when ffmpeg fails.
        check: called several times a second while waiting; it may raise to end the child.
        files: that it writes to.
    """

    def __init__(
        self,
        stream: Any,
        *,
        what: str,
        blame: type[AvatarctlError] = StepFailed,
        feed: bool = False,
        level: str = "error",
        check: Callable[[], None] | None = None,
        files: Sequence[IO[bytes]] = (),
    ) -> None:
        self._what = what
        self._blame = blame
        self._check = check
        self._log: deque[str] = deque(maxlen=400)
        self.frames = 0
        """Pictures done so far, if the stream was made with the option `progress="pipe:2"`."""
        environment = {
            name: value for name, value in os.environ.items() if name not in ("FFREPORT", "AV_LOG_FORCE_COLOR")
        }
        self._process = subprocess.Popen(
            [_argument(word) for word in command(stream, level)],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=PIPE_BYTES,
            # Ctrl-C at a terminal reaches its whole group; the child's end is for its owner to decide.
            process_group=0,
            env=environment,
            pass_fds=[file.fileno() for file in files],
        )
        self._listener = threading.Thread(target=self._listen, name="ffmpeg-log", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := _PROGRESS.match(line):
                self.frames = int(found[2]) if found[1] == b"frame" else self.frames
                continue
            self._log.append(line.decode("utf-8", "replace").rstrip()[:500])

    @property
    def log(self) -> list[str]:
        """The last lines of ffmpeg's log, each with its level: `[error] ...`. Complete after `finish`."""
        return list(self._log)

    @property
    def errors(self) -> list[str]:
        """What ffmpeg complained of, even if it went on. Complete after `finish`."""
        return complaints(self.log)

    def write(self, data: bytes | memoryview) -> None:
        """Feed the child. Blocks while it is behind.

        Raises:
            AvatarctlError: the child has ended early; its own reason is told.
        """
        assert self._process.stdin is not None
        if self._check:
            self._check()
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:
            self._wait()
            raise self._failure() from None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of its output, as soon as there are any; empty at the end."""
        return os.read(self._awaited(), size)

    def fill(self, buffer: memoryview) -> bool:
        """Read its output into all of a buffer of bytes, without a copy in between; False if it ends before."""
        while buffer:
            buffer = buffer[(got := os.readv(self._awaited(), [buffer])) :]
            if not got:
                return False
        return True

    def _awaited(self) -> int:
        """The pipe with its output, once there is something to be read, or its end."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while self._check:
            self._check()
            if select.select([pipe], [], [], _CHECK_SECONDS)[0]:
                break
        return pipe

    def chunks(self, size: int = PIPE_BYTES, *, unit: int = 1) -> Iterator[bytes]:
        """All of its output, each piece a multiple of `unit` bytes; what does not fill the last unit is left out."""
        rest = b""
        while data := self.read(size):
            data = rest + data
            whole = len(data) - len(data) % unit
            rest = data[whole:]
            yield data[:whole]

    def finish(self) -> None:
        """End the child's input, wait for its end, and raise if it failed."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        assert self._process.stdout is not None
        for _ in self.chunks():
            continue
        self._wait()
        if self._process.returncode != 0:
            raise self._failure()
        self._close()

    def kill(self) -> None:
        """End it now and give back its pipes. Safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._close()

    def _wait(self) -> None:
        while True:
            try:
                self._process.wait(timeout=_CHECK_SECONDS if self._check else None)
                break
            except subprocess.TimeoutExpired:
                if self._check:
                    self._check()
        self._listener.join()

    def _close(self) -> None:
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _failure(self) -> AvatarctlError:
        errors = self.errors
        if any("No space left" in line for line in errors):
            return Unavailable(self._what, why="the disk is full", hint="make room, or run avatarctl cache gc")
        if self._blame is StepFailed and any("Input/output error" in line for line in errors):
            # Of a user's own file ffmpeg says so, too, where it only is broken.
            return Unavailable(self._what, why="the disk fails", hint="look at what the kernel says (dmesg)")
        telling = [line for line in errors if not line.startswith(_GENERIC)]
        code = self._process.returncode
        why = (telling or errors or [f"ffmpeg ended with code {code}"])[-1]
        if "not on whitelist" in why.lower():
            why = "its content is not a format that is read here, whatever its name says"
            hint = "make it a common one first: WAV, FLAC or MP3 for sound, MP4 for a film"
            return self._blame(self._what, why=why, hint=hint)
        why = next((plain for sign, plain in _PLAIN.items() if sign in why), why)
        hint = "it may be damaged: copy it again, or give another file" if self._blame is BadInput else ""
        return self._blame(self._what, why=why, hint=hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def complaints(log: list[str]) -> list[str]:
    """The errors among the lines of a log, without levels, addresses and file names."""
    return [_clean(line) for line in log if "[error]" in line or "[fatal]" in line or "[panic]" in line]


def _clean(line: str) -> str:
    """One line of the log without level, addresses and file names."""
    line = re.sub(r"\[(?:[^\]]* @ 0x[0-9a-f]+|error|fatal|panic)\]\s*", "", line)
    line = re.sub(r"\s*\(?'?file:.*$", "", line)
    return "".join(c if c.isprintable() else "?" for c in line).strip()


def run(
    stream: Any,
    *,
    what: str,
    blame: type[AvatarctlError] = StepFailed,
    check: Callable[[], None] | None = None,
    level: str = "error",
) -> tuple[bytes, list[str]]:
    """Run to the end: its standard output, and the lines of its log.

    Raises:
        Unavailable: no usable ffmpeg, or the disk is full.
        AvatarctlError: of the class `blame`, with ffmpeg's last telling line.
    """
    with Child(stream, what=what, blame=blame, check=check, level=level) as child:
        output = b"".join(child.chunks())
        child.finish()
        return output, child.log
