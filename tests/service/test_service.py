"""The service as a whole, and requests that mean no good."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile
import httpx
import raw_http

COUNT = 210


def test_hostile_requests_harm_nothing(opened: Path, serving, encoded: list[bytes]) -> None:
    token = "a-token-for-writing"  # noqa: S105
    with serving(opened, "--writable", "--body-timeout", "1", FASHIONSEARCH_TOKEN=token) as (
        address,
        process,
    ):
        place = httpx.URL(address).host, httpx.URL(address).port
        with ThreadPoolExecutor(8) as pool:
            asked = list(hostile.requests(COUNT))
            # Some show the token, and change what they can.
            shown = [token if number % 2 else None for number in range(COUNT)]
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
