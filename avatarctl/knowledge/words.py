"""Words as the search sees them: lower case, ё as е, no stop words, cut to their Snowball stems.

Each word is stemmed by its own script, so a Russian text about Apollo 11 is found by either language's words.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")

_STOP_WORDS = """
    а без более бы был была были было быть в вам вас весь во вот все всего всем всех вы где да даже для до его ее
    ей ему если есть еще же за здесь и из или им их к как какая какие каким каких какова каково каковы какое какой
    какую каком какому какого ко когда кого кому кем ком которая которого которой котором которому которую которые
    который которым которых кто куда либо лишь мне меня может мой моя мы на над надо нам нас наш не него нее ней
    нет ни них но ну о об обо однако он она они оно от откуда очень по под пожалуйста почему при про с сам сама
    сами само свое своего своей своем своему свои своих свой свою себе себя сейчас сколько скажи скажите расскажи
    расскажите подскажи подскажите ответь объясни знаешь знаете знать хочу хочется интересно можешь можете можно
    называется называются называют называли называлась назывался называлось зовут звали зовется со так такая такие
    такое таков такова такого такой такую там тебе тебя тем то того тоже той только том тот ту ты у уже чего чей
    чем чему что чтобы чье чья эта эти этим этих это этого этой этом этот эту я является являются являлся являлась
    зачем какими каковой ли самый самая самое самые самого самой
    a about am an and any are as at be been being but by can could did do does doing explain for from had has have
    having he her hers him his how i if in into is it its know me my of off on or our out please she should so some
    tell than that the their them then there these they this those to us was we were what when where which while who
    whom whose why will with would you your called named name
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about a text's subject, in Russian (ё as е) and English; question words among them."""

_GENERIC_WORDS = """
    год года году годом лет дата дату день дня дней месяц месяца месяце время времени раз раза город городе стран
    страна стране человек человека человеком люди людей имя фамилия цвет вид штука вещь час часов минут число
    количество много мало большой больше длится длился длилась длилось продолжался продолжалась произошло
    случилось находится стал стала стало стали сделал сделала делает имеет
    year years date day days month time times city country person people man woman thing things kind number many
    much long old big last lasted take takes took happen happened become became
"""
GENERIC_WORDS = frozenset(_GENERIC_WORDS.split())
"""Words that name the kind of answer wanted more than its subject; they weigh less."""


_ALIKE = {
    "лет": "год",
    "впервые": "первый",
    "дальше": "далекий",
    "люди": "человек",
    "людей": "человек",
    "людям": "человек",
    "людьми": "человек",
    "людях": "человек",
    "дети": "ребенок",
    "детей": "ребенок",
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
}
"""Forms that no stemmer joins: plurals of another root, comparatives, adverbs."""


def fold(text: str) -> str:
    """NFC, lower case, ё as е."""
    return unicodedata.normalize("NFC", text).lower().replace("ё", "е")


def words(text: str) -> list[str]:
    """Folded words and numbers in their order; a hyphen divides."""
    return _WORD.findall(fold(text))


def language_of(text: str) -> str:
    """`ru` when Cyrillic letters prevail, else `en`."""
    return "ru" if len(_CYRILLIC.findall(text)) > len(_LATIN.findall(text)) else "en"


def related(one: str, other: str) -> bool:
    """Whether two stems differ by a derivation at most (полет, полетел)."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= 5 and len(long) - len(short) <= 2 and long.startswith(short))


class Stemmer:
    """Snowball's Russian and English stemmers with a memory. Not to be shared between threads."""

    def __init__(self) -> None:
        import snowballstemmer

        self._russian = snowballstemmer.stemmer("russian")
        self._english = snowballstemmer.stemmer("english")
        self._known: dict[str, str] = {}

    def stem(self, word: str) -> str:
        """The stem of one folded word."""
        found = self._known.get(word)
        if found is None:
            by_script = self._russian if _CYRILLIC.search(word) else self._english
            found = self._known[word] = str(by_script.stemWord(_ALIKE.get(word, word)))
        return found

    def stems(self, text: str) -> list[str]:
        """Stems of a text's words in their order, without stop words."""
        return [self.stem(word) for word in words(text) if word not in STOP_WORDS]
