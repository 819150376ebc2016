"""Abbreviations whose full stop need not end a sentence, in Russian and English.

All are lower case, without the last full stop; a full stop inside stands for `т.е.` and `т. е.` alike.
"""

from __future__ import annotations

from avatarctl.text.wordlist import words

NEVER_LAST = frozenset(
    words(
        "т.е т.к т.н им ул пр-т просп пер наб пл бул ш стр корп кв оф рис табл гл разд см ср напр проф акад доц"
        " канд тов гос гр зам зав нач ред сост обл респ пос дер ст каб тел факс эл букв лат греч англ нем фр dr mr"
        " mrs ms mx prof st mt gen col sgt capt rev hon sen rep gov fig eq sec ch vol pp vs e.g i.e cf viz approx"
        " no nr op"
    )
)
"""A word always follows: `ул. Ленина`, `т. е. сегодня`, `Dr. Smith`."""

MAY_BE_LAST = frozenset(
    words(
        "т.д т.п т.ч др пр г гг в вв н.э до.н.э руб коп тыс млн млрд трлн долл д п т р с м км см кг мин сек ч час"
        " л экз чел шт u.s u.k u.n e.u a.m p.m etc inc ltd co corp jr sr ph.d b.c a.d d.c al dept est"
    )
)
"""A sentence may end here; the next word decides."""

STARTERS = frozenset(
    words(
        "а без благодаря более бы был была были было в вам ваш вдруг ведь весь во вот впрочем все всё вы где да"
        " даже для до его ее её если есть ещё еще за здесь и из или именно их к как какой когда конечно который кто"
        " кроме куда лишь мне многие может мой мы на над нам нас наш не некоторые нет ни но ну о об однако он она"
        " они оно от очень перед по под позже после потом потому поэтому при про с сегодня сейчас сначала со спустя"
        " среди так также такой там тем теперь то тогда только тот три у уже хотя хорошо через чем что чтобы эта"
        " эти это этот я a after all also an and as at because before but by for he her here his how however i if"
        " in it its later many most my no not now of on one or our she since so some that the their then there"
        " these they this those though to we what when where which while who why with yes you your"
    )
)
"""Words that begin sentences far more often than they are names."""
