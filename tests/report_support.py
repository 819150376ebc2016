"""Records for pages, filled with whatever words a test wants."""

from __future__ import annotations

from collections.abc import Callable

from avatarctl.pages.model import BatchView, Delivered, FilmView, JobView, RunView, Source, Spoken, StepView, WorkView

Words = Callable[[str], str]


def hostile(what: str) -> str:
    """What a page must survive, around a text that can be found again."""
    return (
        f"{what} </script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>\" onload='pwned=3' "
        f"&lt;b&gt; \u2028\u2029\u202e\x00\x1b\ud800 ]]> <!-- --> {{{{7*7}}}} javascript:pwned=4 " + "и" * 300
    )


def run_view(words: Words) -> RunView:
    film = FilmView(
        source="", embedded=False, duration=2.0, width=128, height=128, fps=25.0, size=1000, remark=words("remark"),
        spoken=[Spoken(start=0.0, end=1.0, text=words("spoken"))], wave=[0.1, 0.9, 0.3], language="ru",
    )  # fmt: skip
    steps = [
        StepView(
            index=i, stage="speak", engine=words("engine"), label=words("label"), status=status, began=0.1 * i,
            queue=0.1, load=0.0, run=0.5, size=10, device=words("device"), memory_mb=0.0, key="s1:ab",
            error=words("error"),
        )
        for i, status in enumerate(("done", "hit", "failed", "cancelled"))
    ]  # fmt: skip
    return RunView(
        id="01M7", recipe="ask", status="failed", title=words("title"), language="ru",
        started="2031-02-03T04:05:06.789Z", seconds=2.0, question=words("question"), text=words("text"),
        text_language="ru", error=words("error"), avatar=words("avatar"), preset=words("preset"), film=film,
        sources=[Source(document=words("document"), heading=words("heading"), sentence=words("sentence"))],
        settings={words("stage"): {"engine": words("engine"), words("param"): words("value")}}, steps=steps,
        figures={"sync": 0.5, words("figure"): 1.0}, delivered=[Delivered(role="film", name=words("name"), link="")],
        made_by="avatarctl",
    )  # fmt: skip


def batch_view(count: int, words: Words, thumbnail: bytes = b"") -> BatchView:
    statuses = ("done", "cached", "failed", "rejected", "cancelled", "running", "queued")
    jobs = [
        JobView(
            position=i, name=words(f"job {i}"), about=words("about"), language="ru", status=statuses[i % 7], attempt=1,
            began=0.5 * i, seconds=3.0, worked=2.0, media_seconds=4.0, link="", thumbnail=thumbnail,
            error=words("error") if i % 7 == 2 else "", error_code="", run="",
        )
        for i in range(count)
    ]  # fmt: skip
    work = [
        WorkView(
            stage="speak", engine=words("engine"), made=count, hits=1, failed=1, queue=1.0, load=1.0, run=float(count)
        )
    ]
    return BatchView(
        id="01M7", name=words("films.yaml"), state="ended", round=2, created="2031-02-03T04:05:06.789Z", jobs=jobs,
        busy=0.5 * count + 3, span=0.5 * count + 3, work=work, made_by="avatarctl",
    )  # fmt: skip
