"""Questions and texts that no run has seen before: only the rig of the avatar may come from the cache."""

from __future__ import annotations

_NAMES = (
    "Орлова", "Соколова", "Волкова", "Лебедева", "Журавлёва", "Воробьёва", "Голубева", "Королёва",
    "Зайцева", "Медведева", "Беляева", "Громова", "Жукова", "Морозова", "Новикова", "Павлова",
)  # fmt: skip


def tower(number: int) -> tuple[str, str, str]:
    """Document name, its Markdown, and a question that all of its sentences answer: about 20 s of speech."""
    name = _NAMES[number % len(_NAMES)]
    year = 1801 + 7 * number
    document = (
        f"# Башня {name}\n\n"
        f"Башня {name} построена в {year} году на высоком берегу реки, и с неё видно весь город. "
        f"Высота башни {name} составляет {41 + number} метров, а толщина её стен доходит до двух метров. "
        f"В башне {name} работает небольшой музей, где хранятся старые карты и письма строителей. "
        f"Зимой башня {name} закрыта для гостей, потому что её лестница покрывается льдом.\n"
    )
    return f"bashnya-{number}.md", document, f"Расскажи о башне {name}."


def chronicle(seconds: int, edition: int = 0) -> str:
    """Plain Russian sentences, none like another, that take about `seconds` to say."""
    sentences = (
        "В {a} году у старой пристани собралось {b} рыбаков, и каждый рассказал свою историю.",
        "Мастер починил {b} часов, положил инструменты в ящик и вышел на площадь, где играла музыка.",
        "До ближайшего посёлка оставалось {b} километров, поэтому путники решили ночевать у реки.",
        "Летом {a} года урожай был так велик, что его возили на мельницу до самой зимы.",
    )
    spoken = 7.7  # seconds that one of them takes
    count = max(1, round(seconds / spoken))
    lines = [
        sentences[i % len(sentences)].format(a=1700 + (i * 7 + edition) % 300, b=21 + i + 200 * edition)
        for i in range(count)
    ]
    return " ".join(lines)
