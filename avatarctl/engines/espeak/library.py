"""espeak-ng through ctypes, with a fresh library for every use.

The synthesiser keeps state between calls that no function resets (flutter and cycle counters, the C library's
random numbers), so a sentence would sound a little different after another one. The shared object is therefore
unloaded after use and loaded again, which takes milliseconds and gives equal bytes for equal requests. All of it is
global to the process, so one lock serves all threads.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import BadConfig, BadInput, StepFailed, Unavailable

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _IPA_EVENTS, _DONT_EXIT = 1, 2, 0x8000
_UTF8, _PHONEME_INPUT = 1, 0x100
_IPA_TEXT = 2
_NAMES_TEXT = ord("_") << 8
_RATE, _PITCH, _RANGE = 1, 3, 4
_END, _WORD, _PHONEME = 0, 1, 7

_lock = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class Spoken:
    """What espeak-ng gave. Times are sample numbers; positions count characters of the text, from 0."""

    samples: NDArray[np.int16]
    rate: int
    """Hertz."""
    phonemes: list[tuple[int, str]]
    """(sample, IPA symbol); an empty symbol is a pause."""
    words: list[tuple[int, int, int]]
    """(sample, position, length)."""


@dataclass(slots=True)
class _Collector:
    cancelled: Callable[[], bool]
    chunks: list[NDArray[np.int16]] = field(default_factory=list)
    phonemes: list[tuple[int, str]] = field(default_factory=list)
    words: list[tuple[int, int, int]] = field(default_factory=list)
    stopped: bool = False
    failure: Exception | None = None

    def take(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        """espeak-ng's callback; 1 asks it to stop. An exception must not cross the C code."""
        try:
            if count > 0 and wave:
                self.chunks.append(np.ctypeslib.as_array(wave, (count,)).astype(np.int16))
            index = 0
            while events[index].type != _END:
                self._event(events[index])
                index += 1
            self.stopped = self.cancelled()
        except Exception as error:
            self.failure = error
        return 1 if self.stopped or self.failure else 0

    def _event(self, event: _Event) -> None:
        if event.type == _PHONEME:
            raw = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, 8)
            self.phonemes.append((event.sample, raw.split(b"\0", 1)[0].decode("utf-8", "ignore")))
        elif event.type == _WORD:
            self.words.append((event.sample, event.text_position - 1, event.length))


class Espeak:
    """A freshly loaded espeak-ng; get one from `opened`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        flags = _PHONEME_EVENTS | _IPA_EVENTS | _DONT_EXIT
        self.rate: int = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(espeakng_loader.get_data_path()), flags)
        if self.rate <= 0:
            raise Unavailable(
                "espeak-ng cannot start",
                why=f"its data in {espeakng_loader.get_data_path()} cannot be read",
                hint="install espeakng-loader again",
            )

    def choose(self, voice: str, *, rate: int = 175, pitch: int = 50, intonation: int = 50) -> None:
        """Set the voice (`ru`, `en-us+f1`), words a minute, pitch and its range (0..99).

        Raises:
            BadConfig: there is no such voice or variant.
        """
        language, _, variant = voice.partition("+")
        place = _places().get(language, language)
        if not _speaks(place) or self._library.espeak_SetVoiceByName(place.encode()) != 0:
            raise BadInput(f"espeak-ng does not speak {language!r}", hint="name another with --set speak.language=en")
        if variant and not variants().get(variant, True):
            raise BadConfig(
                f"the voice variant {variant!r} cannot be used",
                why="its breath sounds different each time, so a film could not be made again to the same bytes",
                hint="for example f1, f4, m3 or m7",
            )
        if variant and (
            variant not in variants() or self._library.espeak_SetVoiceByName(f"{place}+{variant}".encode()) != 0
        ):
            raise BadConfig(f"espeak-ng has no voice variant {variant!r}", hint="for example f1, f4, m3 or m7")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, intonation)):
            if self._library.espeak_SetParameter(parameter, value, 0) != 0:
                raise StepFailed("espeak-ng refused a setting", why=f"parameter {parameter} = {value}")

    def synthesise(self, text: str, cancelled: Callable[[], bool] = lambda: False) -> Spoken | None:
        """Speak; None when `cancelled` became true. What stands between `[[` and `]]` is names of phonemes.

        Raises:
            StepFailed: espeak-ng broke.
        """
        collector = _Collector(cancelled)
        callback = _Callback(collector.take)
        self._library.espeak_SetSynthCallback(callback)
        data = text.encode("utf-8") + b"\0"
        flags = _UTF8 | (_PHONEME_INPUT if "[[" in text else 0)
        status = self._library.espeak_Synth(data, len(data), 0, 1, 0, flags, None, None)
        self._library.espeak_Synchronize()
        if collector.failure is not None:
            raise StepFailed("espeak-ng's sound could not be taken over") from collector.failure
        if collector.stopped:
            return None
        if status != 0:
            raise StepFailed("espeak-ng broke off", why=f"status {status}")
        samples = np.concatenate(collector.chunks) if collector.chunks else np.zeros(0, np.int16)
        return Spoken(samples, self.rate, collector.phonemes, collector.words)

    def phonemes(self, text: str) -> str:
        """IPA of a text in the chosen voice; what stands between `[[` and `]]` is names of phonemes."""
        if "[[" in text:
            self._read_names()
        return " ".join(self._clauses(text, _IPA_TEXT))

    def mnemonics(self, word: str) -> list[str]:
        """espeak-ng's own names of a word's phonemes; `'` before one is its primary stress, `,` a secondary one."""
        return "_".join(self._clauses(word, _NAMES_TEXT)).replace(" ", "_").split("_")

    def _read_names(self) -> None:
        """Phoneme input is a flag of synthesis, and stays: so nothing is spoken once."""
        callback = _Callback(lambda wave, count, events: 0)
        self._library.espeak_SetSynthCallback(callback)
        self._library.espeak_Synth(b" \0", 2, 0, 1, 0, _UTF8 | _PHONEME_INPUT, None, None)

    def _clauses(self, text: str, form: int) -> list[str]:
        data = ctypes.create_string_buffer(text.encode("utf-8"))
        pointer = ctypes.c_void_p(ctypes.addressof(data))
        parts = []
        while pointer.value:
            part = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, form)
            parts.append((part or b"").decode("utf-8", "ignore"))
        return [p for p in parts if p]


@cache
def _places() -> dict[str, str]:
    """Where each language's voice lies: to find one by its name alone, espeak-ng reads all of them."""
    folder = Path(espeakng_loader.get_data_path()) / "lang"
    return {file.name: str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


_NAMED_DICTIONARY = re.compile(r"^dictionary\s+(\S+)", re.MULTILINE)
_LANGUAGE = re.compile(r"^language\s+([^\s-]+)", re.MULTILINE)


@cache
def _speaks(place: str) -> bool:
    """Whether espeak-ng's package has the dictionary of the voice at that place; without one it says nothing."""
    data = Path(espeakng_loader.get_data_path())
    file = data / "lang" / place
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    named = _NAMED_DICTIONARY.search(text) or _LANGUAGE.search(text)
    return named is None or (data / f"{named[1]}_dict").is_file()


_BREATH = re.compile(rb"^breath\b.*[1-9]", re.MULTILINE)


@contextlib.contextmanager
def opened() -> Iterator[Espeak]:
    """A fresh espeak-ng, alone in the process until it is left.

    Raises:
        Unavailable: the library or its data are missing or broken.
    """
    with _lock:
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise Unavailable(
                "espeak-ng cannot be loaded", why=str(error).splitlines()[0], hint="install espeakng-loader again"
            ) from error
        _declare(library)
        # The synthesiser's noise comes from the C library's rand().
        ctypes.CDLL(None).srand(1)
        try:
            yield Espeak(library)
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)


@cache
def variants() -> dict[str, bool]:
    """The voice variants by name, and whether each gives the same sound every time.

    espeak-ng mixes the breath of a voice from memory that nobody has set, so a variant with breath sounds a
    little different in every process.
    """
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.name: not _BREATH.search(file.read_bytes()) for file in files if file.is_file()}


def _declare(library: ctypes.CDLL) -> None:
    integer, text, pointer = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
    library.espeak_Initialize.argtypes = [integer, integer, text, integer]
    library.espeak_SetVoiceByName.argtypes = [text]
    library.espeak_SetParameter.argtypes = [integer, integer, integer]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    unsigned = ctypes.c_uint
    library.espeak_Synth.argtypes = [pointer, ctypes.c_size_t, unsigned, integer, unsigned, unsigned, pointer, pointer]
    library.espeak_TextToPhonemes.argtypes = [pointer, integer, integer]
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
