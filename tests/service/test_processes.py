"""The command in processes of its own: several that answer beside one that writes, stopped by a signal."""

import base64
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from fashionsearch.cli import main
from fashionsearch.service import processes
from fashionsearch.service.processes import threads_each

TOKEN = "a-token-for-writing"  # noqa: S105

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def children(process: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def test_two_workers_see_within_a_second_what_one_was_told(vectors: Path, serving) -> None:
    options = "--workers", "2", "--writable"
    with serving(vectors, *options, FASHIONSEARCH_TOKEN=TOKEN) as (address, process):
        pids = set(children(process))
        added = httpx.post(
            f"{address}/items",
            json={"id": 7, "vector": [1.0, 0.1], "metadata": {"colour": "green"}},
            headers=BEARER,
        )
        assert added.status_code == 200, added.text
        assert added.json() == {"id": 7, "items": 4}
        time.sleep(1)
        for _ in range(12):  # each over a connection of its own, which either worker may take
            assert httpx.get(f"{address}/items/7").json()["metadata"] == {"colour": "green"}
        with httpx.Client(base_url=address, headers=BEARER) as client:
            assert client.patch("/items/7", json={"metadata": {"colour": "blue"}}).json() == {
                "id": 7,
                "items": 4,
            }
            assert client.get("/items/7").json()["metadata"] == {
                "colour": "blue"
            }  # at once where it was said
            assert client.delete("/items/7").json() == {"id": 7, "items": 3}
            assert client.get("/items/7").status_code == 404
            assert client.delete("/items/7").status_code == 404
            assert client.post("/items", json={"id": "text", "vector": [1.0, 0.0]}).status_code == 422
        time.sleep(1)  # the worker that tells the metrics may be the other one
        metrics = httpx.get(f"{address}/metrics").text
        assert (
            'fashionsearch_requests_total{method="GET",route="/items/{item:id}",status="200"} 13.0' in metrics
        )
        assert "fashionsearch_items 3.0" in metrics

        # A worker that ends is replaced, and so is the one that writes.
        for pid in pids - {process.pid}:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 40
        while time.monotonic() < until:
            try:
                if (
                    httpx.post(
                        f"{address}/items", json={"id": 8, "vector": [0.5, 1.0]}, headers=BEARER
                    ).status_code
                    == 200
                ):
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        time.sleep(1)
        assert httpx.get(f"{address}/items/8").status_code == 200
        assert httpx.delete(f"{address}/items/8", headers=BEARER).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_what_was_begun_is_answered_before_it_stops(saved: Path, serving) -> None:
    with serving(saved) as (address, process):
        answers = []
        body = b'{"text": "red dress", "k": 1}'

        def slowly():
            yield body[:10]
            time.sleep(1)
            yield body[10:]

        def ask() -> None:
            answers.append(
                httpx.post(
                    f"{address}/search", content=slowly(), headers={"content-type": "application/json"}
                )
            )

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        asking.join(20)
        assert [answer.status_code for answer in answers] == [200]
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        (["--host", "192.0.2.1"], {}, "needs a token"),
        (["--writable"], {}, "--writable needs a token"),
        (["--writable"], {"FASHIONSEARCH_TOKEN": "short"}, "16 or more"),
        (["--writable"], {"FASHIONSEARCH_TOKEN": TOKEN}, "VisualIndex.open"),
        (["--writable", "--workers", "2"], {"FASHIONSEARCH_TOKEN": TOKEN}, "VisualIndex.open"),
        (["--host", "192.0.2.1"], {"FASHIONSEARCH_READ_TOKEN": TOKEN}, "nothing can listen"),
    ],
)
def test_what_cannot_be_served_is_told(
    saved: Path, options: list[str], environment: dict[str, str], told: str, monkeypatch, capsys
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", str(saved), "--port", "0", *options]) == 1
    assert told in capsys.readouterr().err


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [threads_each(workers) for workers in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at what a process has loaded")
def test_a_service_imports_no_torch(saved: Path, encoded: list[bytes], serving) -> None:
    photo = base64.b64encode(encoded[3]).decode()
    with serving(saved) as (address, process):
        found = httpx.post(f"{address}/search", json={"photo": photo, "k": 1}, timeout=30)
        assert found.json()["matches"][0]["id"] == "item/3"
        assert httpx.post(f"{address}/tag", json={"photo": photo}, timeout=30).status_code == 200
        mapped = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
    assert "onnxruntime" in mapped
    assert "libtorch" not in mapped
