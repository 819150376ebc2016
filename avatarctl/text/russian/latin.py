"""Latin words inside Russian text, respelled in Cyrillic so that a Russian voice says them as Russians do.

Known names come from a table; other words through English phonemes, where a pronouncer is at hand, or else letter
by letter groups. An acute accent after a vowel marks the stress.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from avatarctl.text.tracked import Tracked
from avatarctl.text.wordlist import words

Pronounce = Callable[[str], str]
"""English text to IPA, words separated by spaces."""

_WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’-][A-Za-zÀ-ɏ]+)*(?:(?<=[a-z])\d+(?![\w]))?")

_DOT = re.compile(r"(?<=[A-Za-z])\.(?=[A-Za-z])")

_KNOWN_TEXT = """
google гугл youtube ютью́б iphone ай-фо́н ipad ай-па́д windows ви́ндоус linux ли́нукс python па́йтон java джа́ва
javascript джаваскри́пт typescript тайпскри́пт chatgpt чат-джи-пи-ти́ gpt джи-пи-ти́ openai оупэн-эй-а́й github гитха́б
git гит telegram телегра́м whatsapp вотса́п facebook фейсбу́к instagram инстагра́м apple эпл microsoft майкросо́фт
android андро́ид tesla те́сла spacex спэйс-э́кс starlink старли́нк excel эксэ́ль word ворд zoom зум docker до́кер
intel и́нтел nvidia энви́диа amazon амазо́н netflix нет-фли́кс twitter тви́ттер tiktok тикто́к skype скайп
email и-ме́йл e-mail и-ме́йл mail мэйл internet интерне́т online онла́йн offline оф-ла́йн wi-fi вай-фа́й wifi вай-фа́й
bluetooth блю-ту́с usb ю-эс-би́ nasa на́са nato на́то wikipedia википе́дия photoshop фотошо́п powerpoint пауэр-по́йнт
visa ви́за mastercard мастерка́рд bitcoin битко́ин blockchain блок-че́йн startup старта́п bmw бэ-эм-вэ́ mercedes мерседе́с
toyota тойо́та samsung самсу́нг sony со́ни xiaomi сяоми́ huawei хуаве́й adidas а́дидас nike найк coca-cola ко́ка-ко́ла
pdf пэ-дэ-э́ф html эйч-ти-эм-э́ль http эйч-ти-ти-пи́ sql эс-кю-э́ль api эй-пи-а́й cpu си-пи-ю́ gpu джи-пи-ю́ it ай-ти́
ai эй-а́й ok оке́й vs ве́рсус no но the зэ a э of оф and энд for фор to ту you ю hello хэло́у world ворлд
c си vpn вэ-пэ-э́н sms эс-эм-э́с gps джи-пи-э́с led лед dvd ди-ви-ди́ cd си-ди́ tv ти-ви́ pc пи-си́
avatar авата́р js джей-э́с studio сту́дия code код
"""
_KNOWN = dict(zip(_KNOWN_TEXT.split()[::2], _KNOWN_TEXT.split()[1::2], strict=True))

_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        words("эй би си ди и эф джи эйч ай джей кей эль эм эн о пи кью ар эс ти ю ви дабл-ю экс уай зет"),
        strict=True,
    )
)

_SOUNDS = {
    "tʃ": "ч",
    "dʒ": "дж",
    "aɪɚ": "айэр",
    "aʊɚ": "ауэр",
    "aɪə": "айа",
    "aɪ": "ай",
    "aʊ": "ау",
    "eɪ": "эй",
    "ɔɪ": "ой",
    "oʊ": "оу",
    "əʊ": "оу",
    "iə": "иа",
    "ɪə": "иа",
    "ɜː": "ёр",
    "ɑːɹ": "ар",
    "ɔːɹ": "ор",
    "oːɹ": "ор",
    "ɛɹ": "эр",
    "ɪɹ": "ир",
    "ʊɹ": "ур",
    "ɑː": "а",
    "ɔː": "о",
    "oː": "о",
    "iː": "и",
    "uː": "у",
    "juː": "ю",
    "ju": "ю",
    "jʊ": "ю",
    "jɑː": "я",
    "jɛ": "е",
    "jɜː": "ёр",
    "jɔː": "йо",
    "jə": "я",
    "jɚ": "ер",
    "p": "п",
    "b": "б",
    "t": "т",
    "d": "д",
    "k": "к",
    "ɡ": "г",
    "g": "г",
    "f": "ф",
    "v": "в",
    "s": "с",
    "z": "з",
    "ʃ": "ш",
    "ʒ": "ж",
    "m": "м",
    "n": "н",
    "ŋ": "нг",
    "l": "л",
    "ɫ": "л",
    "ɹ": "р",
    "r": "р",
    "ɾ": "т",
    "h": "х",
    "x": "х",
    "θ": "с",
    "ð": "з",
    "w": "в",
    "j": "й",
    "ʔ": "",
    "i": "и",
    "ɪ": "и",
    "ᵻ": "и",
    "ɛ": "э",
    "e": "э",
    "æ": "э",
    "a": "а",
    "ɐ": "а",
    "ʌ": "а",
    "ə": "а",
    "ɚ": "эр",
    "ɜ": "ё",
    "ɑ": "а",
    "ɒ": "о",
    "ɔ": "о",
    "o": "о",
    "ʊ": "у",
    "u": "у",
}
_LONGEST = max(map(len, _SOUNDS))
_CYRILLIC_VOWELS = "аеёиоуыэюя"

_GROUPS = {
    "tion": "шн", "sch": "ш", "tch": "ч", "igh": "ай", "sh": "ш", "ch": "ч", "th": "т", "ph": "ф", "ck": "к",
    "qu": "кв", "oo": "у", "ee": "и", "ea": "и", "ou": "ау", "ow": "оу", "ai": "эй", "ay": "эй", "ei": "ей", "ey": "ей",
    "kh": "х", "zh": "ж", "ya": "я", "yu": "ю", "yo": "ё", "a": "а", "b": "б", "c": "к", "d": "д", "e": "е", "f": "ф",
    "g": "г", "h": "х", "i": "и", "j": "дж", "k": "к", "l": "л", "m": "м", "n": "н", "o": "о", "p": "п", "q": "к",
    "r": "р", "s": "с", "t": "т", "u": "у", "v": "в", "w": "в", "x": "кс", "y": "и", "z": "з", "ä": "э", "ö": "ё",
    "ü": "ю",
    "ß": "сс", "é": "е", "è": "е", "ê": "е", "á": "а", "à": "а", "â": "а", "ó": "о", "ô": "о", "í": "и", "ú": "у",
    "ñ": "нь", "ç": "с", "š": "ш", "č": "ч", "ž": "ж", "ł": "л", "ø": "ё", "å": "о", "æ": "э", "œ": "ё",
}  # fmt: skip


def apply(text: Tracked, pronounce: Pronounce | None = None) -> Tracked:
    """Every Latin word respelled; `pronounce` is asked once for each word that the table does not know."""
    text = text.sub(_DOT, " точка ")
    unknown = sorted({m[0].lower() for m in _WORD.finditer(text.text) if _told(m[0]) is None})
    learnt: dict[str, str] = {}
    if unknown and pronounce is not None:
        for word in unknown:
            said = pronounce(word)
            if said:
                learnt[word] = respelled(said)
    return text.sub(_WORD, lambda m: _told(m[0]) or learnt.get(m[0].lower()) or _by_letters(m[0]))


def respelled(ipa: str) -> str:
    """English IPA in Cyrillic, the primary stress of words of several syllables marked."""
    return " ".join(_respelled_word(word) for word in ipa.split())


def _respelled_word(ipa: str) -> str:
    made = ""
    stressed = False
    position = 0
    while position < len(ipa):
        if ipa[position] in "ˈˌ":
            stressed = stressed or ipa[position] == "ˈ"
            position += 1
            continue
        for length in range(_LONGEST, 0, -1):
            sound = _SOUNDS.get(ipa[position : position + length])
            if sound is not None:
                break
        else:
            position += 1
            continue
        vowel = next((i for i, c in enumerate(sound) if c in _CYRILLIC_VOWELS), None)
        if sound[:1] == "ё" and (not made or made[-1] in _CYRILLIC_VOWELS):
            sound = "э" + sound[1:]
        if sound == "оу" and position + length == len(ipa) and not stressed:
            sound = "о"
        if stressed and vowel is not None:
            sound = sound[: vowel + 1] + "\u0301" + sound[vowel + 1 :]
            stressed = False
        made += sound
        position += length
    made = re.sub(r"р(?=р)", "", made).replace("ё\u0301", "ё")
    if sum(c in _CYRILLIC_VOWELS for c in made) < 2:
        made = made.replace("\u0301", "")
    return made


def _told(word: str) -> str | None:
    """From the table, or spelled when it is an initialism."""
    known = _KNOWN.get(word.lower())
    if known and (len(word) > 2 or word.isupper() or word.lower() not in ("it", "no", "ai")):
        return known
    spelled = re.sub(r"\d", "", word)
    if len(word) == 1 or (spelled.isupper() and len(spelled) <= 5 and spelled.isascii() and spelled.isalpha()):
        names = [_LETTERS[c] for c in spelled.lower() if c in _LETTERS]
        return "-".join(names) if names else None
    return None


def _by_letters(word: str) -> str:
    made, position = "", 0
    lower = word.lower()
    while position < len(lower):
        for length in (4, 3, 2, 1):
            group = lower[position : position + length]
            if len(group) == length and group in _GROUPS:
                made += _GROUPS[group]
                break
        else:
            length = 1
            made += lower[position] if lower[position] in "-0123456789" else ""
        position += length
    return made
