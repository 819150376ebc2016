"""Job files: what they expand to, and that everything wrong with them is told with its line."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarctl.jobs import BadJobFile, Job, read
from avatarctl.jobs.model import FIELDS
from avatarctl.jobs.schema import json_schema


def write(folder: Path, text: str, name: str = "films.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path, **options: bool) -> list[tuple[int, str, str]]:
    with pytest.raises(BadJobFile) as caught:
        read(path, **options)
    assert caught.value.exit_code == 3
    return [(p.line, p.message, p.hint) for p in caught.value.problems]


# -- what jobs come out


def test_text_stays_as_it_was_typed(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs:\n  - text: 007\n  - text: yes\n  - text: 12:30\n  - text: 1.10\n  - text: 'a: b'\n")
    assert [job.text for job in read(path).jobs] == ["007", "yes", "12:30", "1.10", "a: b"]


def test_defaults_lie_under_the_matrix_and_that_under_the_entry(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
version: 1
defaults: {avatar: anna, subtitles: yes, timeout: 15m, set: {speak: {rate: 1.1}}}
matrix:
  preset: [lite, demo]
jobs:
  - question: Кто первым полетел в космос?
  - text: Привет.
    preset: cpu
    avatar: boris
    set: {animate.fps: 30}
""",
    )
    first, second, third = read(path).jobs
    assert (first.preset, second.preset, third.preset) == ("lite", "demo", "cpu")
    assert (first.avatar, third.avatar) == ("anna", "boris")
    assert first.timeout == 900 and first.subtitles
    assert third.settings == ("speak.rate=1.1", "animate.fps=30")
    assert [j.name for j in (first, second, third)] == [
        "кто-первым-полетел-в-космос-lite",
        "кто-первым-полетел-в-космос-demo",
        "привет",
    ]
    assert (first.line, third.line) == (7, 8)


def test_a_matrix_alone_makes_every_combination(tmp_path: Path) -> None:
    path = write(tmp_path, "matrix:\n  question: [Что?, Где?]\n  avatar: [anna, boris]\n  seed: [1, 2, 3]\n")
    jobs = read(path).jobs
    assert len(jobs) == 12
    assert len({job.name for job in jobs}) == 12
    assert {(j.question, j.avatar, j.seed) for j in jobs} == {
        (q, a, s) for q in ("Что?", "Где?") for a in ("anna", "boris") for s in (1, 2, 3)
    }
    assert "что-anna-seed2" in {job.name for job in jobs}


def test_what_is_said_comes_from_one_layer(tmp_path: Path) -> None:
    path = write(tmp_path, "defaults: {text: Привет.}\nmatrix: {avatar: [a, b]}\njobs:\n  - {}\n  - question: Где?\n")
    jobs = read(path).jobs
    assert [(j.text, j.question) for j in jobs] == [("Привет.", ""), ("Привет.", ""), ("", "Где?"), ("", "Где?")]


def test_three_formats_mean_the_same(tmp_path: Path) -> None:
    entries = [
        {"name": "one", "text": "Первый, «в кавычках».", "avatar": "anna", "priority": 3, "subtitles": True},
        {"name": "two", "question": "Две\nстроки?", "set": {"speak.rate": 1.1}, "output": "a/{index:03}-{name}"},
    ]
    jsonl = write(tmp_path, "\n".join(json.dumps(e, ensure_ascii=False) for e in entries) + "\n\n", "f.jsonl")
    yaml = write(tmp_path, json.dumps({"jobs": entries}, ensure_ascii=False), "f.yaml")
    csv = write(
        tmp_path,
        "name;text;question;avatar;priority;subtitles;set;output\none;Первый, «в кавычках».;;anna;3;да_нет;;\n".replace(
            "да_нет", "true"
        )
        + 'two;;"Две\nстроки?";;;;speak.rate=1.1;a/{index:03}-{name}\n',
        "f.csv",
    )

    def plain(path: Path) -> list[dict[str, object]]:
        return [{k: v for k, v in j.as_request().items() if k not in ("file", "line")} for j in read(path).jobs]

    assert plain(jsonl) == plain(yaml) == plain(csv)
    assert [j.line for j in read(csv).jobs] == [2, 3]
    assert read(csv).jobs[1].output == "a/002-two"


def test_merge_keys_and_anchors_of_yaml_work(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs:\n  - &a {text: А., avatar: anna}\n  - {<<: *a, text: Б.}\n")
    assert [(j.text, j.avatar) for j in read(path).jobs] == [("А.", "anna"), ("Б.", "anna")]


def test_a_job_comes_back_from_the_ledger_as_it_was(tmp_path: Path) -> None:
    path = write(
        tmp_path, "jobs:\n  - {text: А., export: 'visemes, blendshapes', seed: 0, idle_: 1}\n".replace(", idle_: 1", "")
    )
    (job,) = read(path).jobs
    assert job.exports == ("visemes", "blendshapes") and job.seed == 0
    assert Job.from_request(json.loads(json.dumps(job.as_request()))) == job


def test_assets_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "голос.wav").write_bytes(b"RIFF")
    (tmp_path / "text.txt").write_text("Привет.")
    path = write(tmp_path, "jobs:\n  - audio: sounds/голос.wav\n    text_file: text.txt\n    background: '#fff'\n")
    (job,) = read(path).jobs
    assert job.audio == str((tmp_path / "sounds" / "голос.wav").resolve())
    assert (job.background, job.name) == ("#fff", "голос")
    assert {p.name for p in job.assets()} == {"голос.wav", "text.txt"}


# -- what is wrong, and where


def test_every_problem_is_told_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """verion: 1
defaults:
  avatr: anna
jobs:
  - text: Привет.
    prioritty: 3
  - text: А.
    question: Б?
  - avatar: anna
  - text: А.
    timeout: soon
  - text: А.
    emotion: angryy
  - just words
""",
    )
    found = problems(path)
    assert [line for line, _, _ in found] == [1, 3, 6, 7, 9, 11, 13, 14]
    assert "did you mean 'version'" in found[0][2]
    assert "did you mean 'avatar'" in found[1][2]
    assert "did you mean 'priority'" in found[2][2]
    assert "question and text at once" in found[3][1]
    assert "nothing to say" in found[4][1]
    assert "15m" in found[5][1]


@pytest.mark.parametrize(
    ("name", "text", "line", "part"),
    [
        ("a.yaml", "jobs:\n  - text: [", 2, "not valid YAML"),
        ("a.yaml", "jobs:\n  - text: !!python/object/apply:os.system ['true']\n", 2, "tag"),
        ("a.yaml", "jobs:\n  - {text: A., text: B.}\n", 2, "given twice"),
        ("a.yaml", "", 1, "no jobs"),
        ("a.yaml", "jobs: []\n", 1, "no jobs"),
        ("a.yaml", "matrix: {question: []}\n", 1, "has to be a list"),
        ("a.yaml", "jobs:\n- text: null\n", 2, "has to be text"),
        ("a.yaml", "jobs:\n- text: '  '\n", 2, "is empty"),
        ("a.yaml", f"jobs:\n- {{text: A., seed: {'9' * 5000}}}\n", 2, "whole number"),
        ("a.yaml", "version: 2\njobs:\n- text: A.\n", 1, "version: 1"),
        ("a.jsonl", '{"text": "A."}\n{"text": "B."\n', 2, "not valid JSON"),
        ("a.jsonl", '{"text": "A.", "seed": NaN}\n', 1, "not valid JSON"),
        ("a.jsonl", '{"text": "A.", "text": "B."}\n', 1, "given twice"),
        ("a.csv", "text,text\nA,B\n", 1, "there twice"),
        ("a.csv", 'text\n"A\n', 2, "not valid CSV"),
        ("a.csv", "text\nA,B\n", 2, "2 cells"),
        ("a.txt", "A.", 0, "ends with"),
        ("a.yaml", "jobs:\n  - text: А.\n\t  seed: 3\n", 3, "not valid YAML"),
        ("a.yaml", "jobs:\n  - text: Прив\0ет.\n", 2, "U+0000"),
        ("a.csv", "text,nam\nA.,a\nB.,b\nC.,c\n", 1, "unknown key 'nam'"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, text: str, line: int, part: str) -> None:
    found = problems(write(tmp_path, text, name))
    assert found[0][0] == line
    assert part in found[0][1]
    assert len(found) == 1


def test_a_tab_is_named(tmp_path: Path) -> None:
    assert "no tabs" in problems(write(tmp_path, "jobs:\n\t- text: А.\n"))[0][2]
    assert "tabs" not in problems(write(tmp_path, "jobs:\n  - text: [\n"))[0][2]


def test_a_name_that_no_file_system_takes_is_told(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path, f"jobs:\n  - {{text: А., output: {'д' * 101}}}\n"))
    assert "too long" in found[1] and "200 bytes" in found[2]
    assert len(read(write(tmp_path, f"jobs:\n  - {{text: А., output: {'д' * 100}}}\n")).jobs) == 1


def test_a_wrong_template_is_told_once(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "defaults: {output: '{nam}'}\njobs:\n  - text: А.\n  - text: Б.\n"))
    assert len(found) == 1 and "unknown placeholder {nam}" in found[0][1]


def test_files_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("jobs:\n  - text: Привет".encode("cp1251"))
    assert problems(path)[0][:2] == (2, "is not UTF-8")
    assert "cannot be read" in problems(tmp_path / "none.yaml")[0][1]
    (tmp_path / "folder.yaml").mkdir()
    assert "is no file" in problems(tmp_path / "folder.yaml")[0][1]
    # It has no end.
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert "is no file" in problems(tmp_path / "zero.yaml")[0][1]


def test_a_tree_of_aliases_takes_no_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    tracemalloc.start()
    found = problems(write(tmp_path, "\n".join(lines)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "unknown key" in found[0][1]
    assert peak < 2**24


HOSTILE = {
    "brackets": ("x: " + "[" * 100_000 + "]" * 100_000, "is nested too deeply"),
    "dashes": ("\n".join(" " * i + "- " for i in range(3000)), "is nested too deeply"),
    "itself": ("jobs: &a\n  - *a\n", "*a stands inside of &a"),
    "nothing before": ("jobs:\n  - *a\n", "there is no &a before *a"),
    "two documents": ("jobs: []\n---\njobs: []\n", "has a second document"),
    "merge of text": ("jobs:\n  - <<: text\n", "<< has to be followed by a table"),
    "table as key": ("jobs:\n  - {[a]: b}\n", "has a list or a table for a key"),
    "a million": ("d: &d {text: a}\njobs: [" + "*d, " * 200_000 + "]", "there are more than 100000 jobs"),
    "merges": (
        "a0: &a0 {text: a}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
        "unknown key 'a39'",
    ),
}


@pytest.mark.parametrize("text", HOSTILE, ids=str)
def test_hostile_yaml_is_refused_before_it_costs_anything(tmp_path: Path, text: str) -> None:
    """Some of these ended the process of PyYAML's own composer, or kept it busy for ever."""
    content, message = HOSTILE[text]
    assert any(message in found[1] for found in problems(write(tmp_path, content)))


def test_what_is_merged_gives_way(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "defaults: &one {avatar: anna, seed: 1}\njobs:\n"
        "  - {text: a, avatar: ben, <<: *one}\n  - {<<: [{seed: 2}, *one], text: b}\n"
        "  - {<<: *one, <<: {take: 3}, text: c}\n",
    )
    assert [(j.avatar, j.seed, j.take) for j in read(path).jobs] == [("ben", 1, 0), ("anna", 2, 0), ("anna", 1, 3)]


def test_many_jobs_may_say_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs:\n" + "  - {text: Раз.}\n" * 20_000)
    names = [job.name for job in read(path).jobs]
    assert (len(set(names)), names[:3], names[-1]) == (20_000, ["раз", "раз-2", "раз-3"], "раз-20000")


def test_json_that_is_no_text_is_refused(tmp_path: Path) -> None:
    lines = ['{"text": "\\ud800"}', '{"text": "a", "seed": ' + "9" * 10_000 + "}"]
    found = problems(write(tmp_path, "\n".join(lines), "films.jsonl"))
    assert ["half a character" in found[0][1], "seed has to be a whole number" in found[1][1]] == [True, True]


@pytest.mark.parametrize("escape", ["../secret.wav", "link.wav", "/etc/hostname"])
def test_assets_outside_the_folder_are_refused_unless_allowed(tmp_path: Path, escape: str) -> None:
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    path = write(folder, f"jobs:\n  - audio: {escape}\n")
    assert "outside the job file's folder" in problems(path)[0][1]
    assert read(path, allow_outside=True).jobs[0].audio == str((folder / escape).resolve())


@pytest.mark.parametrize(
    "output", ["../up", "/abs", "a/../../b", "{name.__class__}", "{0}", "{}", "{index:>9999}", "{nme}", "a/"]
)
def test_names_of_results_stay_in_their_folder(tmp_path: Path, output: str) -> None:
    found = problems(write(tmp_path, f"jobs:\n  - text: А.\n    output: '{output}'\n"))
    assert found[0][0] in (2, 3)
    assert found[0][1].startswith("output:")


def test_two_jobs_never_write_one_file(tmp_path: Path) -> None:
    path = write(tmp_path, "defaults: {output: film}\njobs:\n  - text: А.\n  - text: Б.\n")
    assert problems(path)[0][:2] == (4, "writes film.mp4, as the job of line 3 does")
    path = write(tmp_path, "jobs:\n  - {name: a, text: А.}\n  - {name: a, text: Б.}\n")
    assert "also that of line 2" in problems(path)[0][1]


def test_the_same_text_twice_gets_two_names(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs:\n  - text: Да.\n  - text: Да.\n  - text: Да.\n")
    assert [j.name for j in read(path).jobs] == ["да", "да-2", "да-3"]


def test_the_schema_knows_every_field() -> None:
    schema = json_schema()
    job = schema["$defs"]["job"]["properties"]
    assert set(job) == set(FIELDS)
    assert all(field["description"] for field in job.values())
    assert schema["properties"]["jobs"]["items"] == {"$ref": "#/$defs/job"}
    assert json.loads(json.dumps(schema)) == schema


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200), suffix=st.sampled_from([".yaml", ".jsonl", ".csv"]))
def test_no_text_makes_anything_but_jobs_or_problems(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert read(path).jobs
    except BadJobFile as error:
        assert error.problems
