"""What the store's tests share: a run that publishes, and other processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from avatarctl.store.keys import step_key
from avatarctl.store.model import AvatarRecord, Manifest, RunRecord, StepRecord, new_id
from avatarctl.store.store import Store


def key_of(*parts: object) -> str:
    return step_key({"parts": [str(part) for part in parts]})


class Maker:
    """A run that publishes small files."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.run_id = new_id()
        self.count = 0
        store.ledger.start_run(RunRecord(id=self.run_id, recipe="test"))

    def step(self, key: str, stage: str = "speak", **changes: object) -> StepRecord:
        fields: dict[str, object] = {"run_ms": 5.0, "label": f"{stage} {self.count}", **changes}
        self.count += 1
        return StepRecord(
            run_id=self.run_id, index=self.count - 1, stage=stage, engine="test", key=key, status="done", **fields
        )

    def make(
        self,
        name: str,
        inputs: Mapping[str, str] | None = None,
        *,
        stage: str = "speak",
        outputs: Mapping[str, bytes] | None = None,
        **options: object,
    ) -> Manifest:
        """Publish `outputs` (by default one named after the step) under a key made from `name` and the inputs."""
        inputs = dict(inputs or {})
        key = key_of(name, sorted(inputs.items()))
        with self.store.workspace(self.run_id) as folder:
            files = {}
            for role, data in (outputs or {"out": f"made by {name}".encode()}).items():
                path = folder / role
                path.write_bytes(data)
                files[role] = (path, "text/plain")
            return self.store.publish(
                key,
                stage=stage,
                engine="test",
                outputs=files,
                inputs=inputs,
                facts={"name": name},
                step=self.step(key, stage, inputs=inputs),
                **options,
            )


def enrol(store: Store, maker: Maker, name: str, photo: bytes, sample: bytes = b"") -> AvatarRecord:
    """An avatar as enrolment makes it."""
    picture = store.add_bytes(photo, "image/jpeg")
    portrait = maker.make(
        "portrait",
        {"photo": picture.digest},
        stage="portrait",
        outputs={"portrait": b"portrait of " + photo, "preview": b"preview of " + photo},
    ).outputs
    voice = ""
    sound = store.add_bytes(sample, "audio/wav") if sample else None
    if sound is not None:
        heard = maker.make(
            "voiceprint", {"sample": sound.digest}, stage="voiceprint", outputs={"voice": b"voice of " + sample}
        )
        voice = heard.outputs["voice"].digest
    return store.ledger.add_avatar(
        AvatarRecord(
            id=new_id(),
            name=name,
            version=0,
            photo=picture.digest,
            portrait=portrait["portrait"].digest,
            preview=portrait["preview"].digest,
            sample=sound.digest if sound else "",
            voice=voice,
            portrait_report={"width": 512},
            voice_report={"f0": len(sample), "of": name} if voice else None,
        )
    )


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own, with this project on its path."""
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    """What it printed; it must end with `status`."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    return out.strip()


def together(code: str, count: int, *arguments: object) -> list[str]:
    """What `count` processes print, which start their work at the same moment: `go()` waits for it."""
    head = "def go():\n    print('ready', flush=True)\n    sys.stdin.readline()\n"
    processes = [start(head + code, *arguments, i) for i in range(count)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n", finish(process)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [finish(process) for process in processes]
