"""The service as a whole, and requests that mean no good."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile
import httpx
import pytest
import raw_http
from report.blocks import fences

COUNT = 210
TOKEN = "a-token-for-writing"  # noqa: S105
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve-it.md"


def test_hostile_requests_harm_nothing(opened: Path, serving, encoded: list[bytes]) -> None:
    with serving(opened, "--writable", "--body-timeout", "1", FASHIONSEARCH_TOKEN=TOKEN) as (
        address,
        process,
    ):
        place = httpx.URL(address).host, httpx.URL(address).port
        with ThreadPoolExecutor(8) as pool:
            asked = list(hostile.requests(COUNT))
            # Some show the token, and change what they can.
            shown = [TOKEN if number % 2 else None for number in range(COUNT)]
            answers = list(
                pool.map(lambda each, shown: raw_http.send(place, each, token=shown), asked, shown)
            )
        for request, answer in zip(asked, answers, strict=True):
            told = f"{request.kind}: {request.head[:200]!r} {answer.content[:500]!r}"
            assert answer.status is None or answer.status < 500 or answer.status in (503, 504), told
            assert not answer.leaks([str(opened), str(opened.parent), str(Path.home())]), told
        assert len({answer.status for answer in answers}) > 8
        found = httpx.post(
            f"{address}/search", content=encoded[3], headers={"content-type": "image/jpeg"}, timeout=30
        )
        assert "item/3" in [match["id"] for match in found.json()["matches"]]
        process.terminate()
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_the_clients_of_the_page_do_what_it_says(
    opened: Path, serving, encoded: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded[3])
    (tmp_path / "token.txt").write_text(TOKEN)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command} {done.stdout} {done.stderr}"
        return done.stdout

    with serving(opened, "--writable", FASHIONSEARCH_TOKEN=TOKEN) as (address, _):
        shell, (page,) = (
            [block.replace("http://localhost:8000", address) for block in fences(PAGE, language)]
            for language in ("bash", "javascript")
        )
        lines = [line for block in shell for line in block.splitlines() if line.startswith("curl ")]
        assert len(lines) == 7
        for line in lines:
            shown = line.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
            assert "error" not in json.loads(run("bash", "-c", shown))
        assert httpx.get(f"{address}/items/new").json()["metadata"] == {"price": 15}
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        reading = 'const photo = await (await import("node:fs")).openAsBlob("photo.jpg")\n'
        (tmp_path / "client.mjs").write_text(reading + page)
        assert "item/3" in run("node", "client.mjs").split()
