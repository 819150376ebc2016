"""`avatarctl batch`: job files, performed as one queue."""

from __future__ import annotations

import hashlib
import json as jsons
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from avatarctl.amounts import duration, size
from avatarctl.cli import common
from avatarctl.cli.batch_display import Display
from avatarctl.cli.batch_tables import batch_json, counted, job_json, print_jobs, raise_for, state_of, tell
from avatarctl.cli.options import a_path, a_place, print_json, print_table, reader_gone, say, state
from avatarctl.errors import BadInput
from avatarctl.jobs import BadJobFile, Job, JobFile, Problem
from avatarctl.stages.params import nearest
from avatarctl.store.model import BatchRecord
from avatarctl.store.store import Store

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Many films from a job file, as one queue."
)

FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Job files: YAML, JSONL or CSV.", parser=a_path)
]
BatchArgument = Annotated[
    str, typer.Argument(metavar="[BATCH]", help="A job file, a batch's id, or `last`.", parser=a_place)
]
OutsideOption = Annotated[
    bool, typer.Option("--allow-outside", help="Let jobs read and write outside the job file's folder.")
]


@app.command()
def run(
    files: FilesArgument,
    keep_going: Annotated[
        bool, typer.Option("--keep-going/--fail-fast", help="Go on after a failure, or stop at the first.")
    ] = True,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=1000, help="Films under way at a time.")] = 16,
    retries: Annotated[int, typer.Option("--retries", min=0, max=10, help="Further attempts at what may pass.")] = 1,
    wait_lock: Annotated[
        float | None, typer.Option("--wait-lock", min=0, help="Be alone on these files; wait so many seconds for it.")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="Where steps are performed: local, or ray (the machines of a cluster).")
    ] = "local",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results.", parser=a_path)] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the results as JUnit XML, too.", parser=a_path)
    ] = None,
    allow_outside: OutsideOption = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON document a line for each job that ends.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Perform job files. The same command again does only what is missing."""
    from avatarctl.recipes import batch
    from avatarctl.runtime import session
    from avatarctl.store.locks import FileLock

    if executor not in batch.EXECUTORS:
        raise BadInput(f"there is no executor {executor!r}", hint=nearest(executor, batch.EXECUTORS))
    read = _read(files, allow_outside)
    _refuse_equal_outputs(read, out)
    if junit is not None:
        session.check_writable(junit, "--junit")
    began = time.monotonic()
    with ExitStack() as stack:
        store = stack.enter_context(session.open_store())
        if wait_lock is not None:
            for name in sorted({_lock_name(f.path) for f in read}):
                lock = FileLock(store.locks_folder / "batches" / name, what="this batch")
                stack.enter_context(lock.exclusive(wait_lock))
        _preflight(store, read, out)
        batches = [_queue(store, f, out) for f in read]
        _tell_of_shared_films(store, batches, read)
        display = stack.enter_context(Display(store, batches, jsonl=jsonl))
        performing = batch.EXECUTORS[executor](jobs)
        stack.callback(performing.close)
        batch.BatchRun(
            store,
            [b.id for b in batches],
            performing,
            told=display.told,
            options=batch.Options(jobs, keep_going, retries),
        ).perform()
        display.close()
        batches = [store.ledger.batch(b.id) for b in batches]
        ended = [job for b in batches for job in store.ledger.jobs(b.id)]
        seconds = time.monotonic() - began
        _hold_retention(store)
    if junit is not None:
        from avatarctl.recipes.junit import write

        write(junit, ended, seconds)
    try:
        if not jsonl:
            tell(batches, ended, seconds)
        sys.stdout.flush()
    except BrokenPipeError:
        reader_gone()  # What became of the films is told by the exit code all the same.
    raise_for(ended)
    if display.unwritten is not None:
        raise display.unwritten


@app.command()
def check(
    files: FilesArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the results.", parser=a_path)] = None,
    allow_outside: OutsideOption = False,
    json: common.JsonOption = False,
) -> None:
    """Find out what would fail, how long it takes and how much room it needs. Performs nothing."""
    from avatarctl.recipes import preflight
    from avatarctl.runtime import session

    try:
        read = _read(files, allow_outside)
        _refuse_equal_outputs(read, out)
    except BadJobFile as error:
        if not state.json:
            for problem in error.problems:
                say(str(problem))
            error.hint = "mend the file; nothing was performed"
        raise
    with session.open_store(readonly=True) as store:
        wanted = [job for f in read for job in f.jobs]
        report = preflight.look(store, wanted, _folders(read, out))
    if state.json:
        print_json(report.as_dict())
    else:
        for finding in report.findings:
            say(str(finding.problem()))
        expected = "unknown" if report.seconds is None else f"about {duration(report.seconds)}"
        rows = [
            ["jobs", str(report.jobs)],
            ["would fail", str(len(report.findings))],
            ["films", f"about {duration(report.media_seconds)}"],
            ["time on this machine", expected],
            ["room", f"{report.bytes_needed / 1e6:.0f} MB of {report.bytes_free / 1e6:.0f} MB"],
        ]
        print_table(["", ""], rows)
    if report.findings:
        raise report.fault()


@app.command()
def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="[BATCH]", help="A job file, a batch's id, or `last`.", parser=a_place)
    ] = None,
    json: common.JsonOption = False,
) -> None:
    """Batches and how far they are; with a batch, each of its jobs."""
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        if batch is None:
            found = [(b, store.ledger.job_counts(b.id)) for b in store.ledger.batches()]
            if state.json:
                print_json({"batches": [{**batch_json(b), "counts": counts} for b, counts in found]})
                return
            rows = [[b.id, state_of(b, c), counted(c), common.one_line(b.source, 60)] for b, c in found]
            print_table(["batch", "state", "jobs", "file"], rows)
            return
        chosen = common.find_batch(store, batch)
        jobs = store.ledger.jobs(chosen.id)
        counts = store.ledger.job_counts(chosen.id)
    if state.json:
        print_json({**batch_json(chosen), "counts": counts, "jobs": [job_json(job) for job in jobs]})
        return
    print_jobs(jobs)
    say(f"{state_of(chosen, counts)}: {counted(counts)}")


@app.command()
def retry(
    batch: BatchArgument = "last",
    permanent: Annotated[bool, typer.Option("--all", help="Also what failed for good, or was cancelled.")] = False,
    json: common.JsonOption = False,
) -> None:
    """Queue again what failed and may pass this time. `avatarctl batch run` performs it."""
    from avatarctl.runtime import session

    with session.open_store() as store:
        chosen = common.find_batch(store, batch)
        count = store.ledger.retry_jobs(chosen.id, permanent=permanent)
    if state.json:
        print_json({**batch_json(chosen), "queued": count})
    else:
        say(f"{count} queued again" + (f": avatarctl batch run {shlex.quote(chosen.source)}" if count else ""))


@app.command()
def cancel(batch: BatchArgument = "last", json: common.JsonOption = False) -> None:
    """Cancel what waits, and stop what runs, in whatever process it does."""
    from avatarctl.runtime import session

    with session.open_store() as store:
        chosen = common.find_batch(store, batch)
        store.ledger.free_jobs_of_the_dead(store.is_alive, [chosen.id])
        queued, running = store.ledger.cancel_jobs(chosen.id)
        store.ledger.end_batch(chosen.id)
    if state.json:
        print_json({**batch_json(chosen), "cancelled": queued, "asked_to_stop": running})
    else:
        say(f"{queued} cancelled, {running} asked to stop")


@app.command()
def explain(
    job: Annotated[str, typer.Argument(help="A job's name or id.")],
    batch: Annotated[
        str, typer.Option("--batch", "-b", help="A job file, a batch's id, or `last`.", parser=a_place)
    ] = "last",
    allow_outside: OutsideOption = False,
    json: common.JsonOption = False,
) -> None:
    """Say of each step of a job whether it would run or come from the cache, and why. Performs nothing.

    A job file is read as it is now; a batch that is given by its id, as it was queued.
    """
    from avatarctl.recipes.explain import explain as perform
    from avatarctl.runtime import session

    with session.open_store(readonly=True) as store:
        known = [record for b in _known_batches(store, batch) for record in store.ledger.jobs(b.id)]
        wanted = {record.name: Job.from_request(record.request) for record in known}
        if Path(batch).is_file():
            wanted = {found.name: found for found in _read([Path(batch)], allow_outside)[0].jobs}
        records = [record for record in known if job in (record.name, record.id)]
        name = records[0].name if records else job
        if name not in wanted:
            raise BadInput(f"there is no job {job!r}", hint=nearest(job, wanted) if wanted else "avatarctl batch run")
        steps = perform(store, wanted[name], records[0].run_id if records else "")
    if state.json:
        print_json({"job": name, "steps": [asdict(step) for step in steps]})
        return
    print_table(
        ["", "step", "about", "why"],
        [[s.verdict, f"{s.stage}/{s.engine}", common.one_line(s.label, 34), s.reason] for s in steps],
    )


def _known_batches(store: Store, wanted: str) -> list[BatchRecord]:
    """The batch, or none where a job file was never performed."""
    try:
        return [common.find_batch(store, wanted)]
    except BadInput:
        if Path(wanted).is_file():
            return []
        raise


@app.command()
def schema() -> None:
    """The JSON Schema of job files, for editors."""
    from avatarctl.jobs.schema import json_schema

    sys.stdout.write(jsons.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n")


def _hold_retention(store: Store) -> None:
    from avatarctl.recipes import retention

    done = retention.hold(store, common.resolve(None, None).retention)
    if done is not None and done.freed:
        say(f"retention: {len(done.actions)} steps and {len(done.files)} files left the cache, {size(done.freed)}")


# -- job files


def _read(files: Sequence[Path], allow_outside: bool) -> list[JobFile]:
    from avatarctl.jobs import read

    if len({path.absolute().resolve() for path in files}) < len(files):
        raise BadInput("a job file is given twice", hint="give each once")
    problems: list[Problem] = []
    found = []
    for path in files:
        try:
            found.append(read(path, allow_outside=allow_outside))
        except BadJobFile as error:
            problems += error.problems
    if problems:
        raise BadJobFile(problems)
    return found


def _outputs(file: JobFile, out: Path | None) -> Path:
    if out is not None:
        return out.absolute()
    return Path(file.outputs or common.resolve(None, None).outputs).absolute()


def _folders(read: Sequence[JobFile], out: Path | None) -> dict[str, Path]:
    """Where the results of each job file go."""
    return {str(file.path): _outputs(file, out) for file in read}


def _films_of_others(store: Store, read: Sequence[JobFile], out: Path | None) -> dict[str, str]:
    """Films that lie where these jobs put theirs, and the job files, still there, that they were made for."""
    made = store.ledger.films([str(file.path.absolute().resolve()) for file in read])
    targets = (str(_outputs(file, out) / (job.output + ".mp4")) for file in read for job in file.jobs) if made else ()
    return {film: made[film] for film in targets if film in made and Path(film).exists() and Path(made[film]).exists()}


def _refuse_equal_outputs(read: Sequence[JobFile], out: Path | None) -> None:
    """Each file was looked at alone; together they must not overwrite each other's films."""
    seen: dict[str, Job] = {}
    problems = []
    for file in read:
        folder = _outputs(file, out)
        for job in file.jobs:
            other = seen.setdefault(str(folder / job.output).casefold(), job)
            if other is not job:
                message = f"writes {job.output}.mp4, as the job of {other.file}:{other.line} does"
                problems.append(Problem(job.file, job.line, message, "give it another output, as in {file}-{name}"))
    if problems:
        raise BadJobFile(problems)


def _preflight(store: Store, read: Sequence[JobFile], out: Path | None) -> None:
    """Tell what would fail. Only where nothing can succeed is that the end."""
    from avatarctl.recipes import preflight

    wanted = [job for f in read for job in f.jobs]
    report = preflight.look(store, wanted, _folders(read, out))
    if len(report.findings) >= len(wanted):
        raise report.fault()
    for finding in report.findings:
        say(f"warning: {finding.problem()}")
    for film, source in _films_of_others(store, read, out).items():
        say(f"warning: {film} is a film of {source}, and will be replaced (give another --out, or other names)")
    films = f"{report.jobs} jobs, about {duration(report.media_seconds)} of film"
    say(films + ("" if report.seconds is None else f", done in about {duration(report.seconds)}"))


def _queue(store: Store, file: JobFile, out: Path | None) -> BatchRecord:
    from avatarctl.store.queue import Wanted

    source = file.path.absolute().resolve()
    folder = str(_outputs(file, out))
    for known in _known_batches(store, str(source)):
        if known.outputs != folder and store.ledger.job_counts(known.id).get("running"):
            say(f"warning: {file.path} is being performed into {known.outputs}: its films go to {folder} from now on")
    wanted = [Wanted(job.name, job.as_request(), _fingerprint(job, folder), job.priority) for job in file.jobs]
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return store.ledger.queue_batch(str(source), digest, wanted, store.is_alive, folder)


def _tell_of_shared_films(store: Store, batches: Sequence[BatchRecord], read: Sequence[JobFile]) -> None:
    """Another batch may be about to make films of the same names: of each, the one that is made last stays."""
    if coming := store.ledger.films_to_come([batch.id for batch in batches]):
        ours = (
            str(Path(b.outputs) / f"{job.output}.mp4") for b, f in zip(batches, read, strict=True) for job in f.jobs
        )
        for film in filter(coming.__contains__, ours):
            say(f"warning: {film} is a film of {coming[film]}, too, which is not over: the later one stays")


def _fingerprint(job: Job, folder: str) -> str:
    """Of all that the job file says of a job, where the film goes, and the looks of its files; not of its place."""
    from avatarctl.store.keys import canonical_json

    said = {k: v for k, v in job.as_request().items() if k not in ("file", "line", "priority", "timeout")}
    stats = [(p.stat().st_size, p.stat().st_mtime_ns) for p in job.assets()]
    return hashlib.sha256(canonical_json([said, folder, stats])).hexdigest()


def _lock_name(path: Path) -> str:
    return hashlib.sha256(str(path.absolute().resolve()).encode()).hexdigest()[:32]
