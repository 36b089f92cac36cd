"""What the service says of itself."""

import re
from collections.abc import Callable

from fashionsearch.service.tokens import Tokens


def test_every_reference_leads_somewhere(client: Callable) -> None:
    described = client(writable=True, tokens=Tokens("w" * 20))("GET", "/openapi.json").json()
    text = str(described)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in described["components"]["schemas"], name
    assert set(described["paths"]) == {
        "/search", "/tag", "/facets", "/catalogue", "/items/{item}", "/items", "/health", "/ready", "/metrics"
    }  # fmt: skip
    kinds = described["paths"]["/search"]["post"]["requestBody"]["content"]
    assert {"application/json", "multipart/form-data", "image/*"} <= set(kinds)
    query = described["components"]["schemas"]["Query"]
    assert query["additionalProperties"] is False
    assert {"photo", "text", "where", "k"} <= set(query["properties"])


def test_the_page_asks_nobody_for_anything(client: Callable) -> None:
    answer = client()("GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|src=|@import|url\(|http:|https:", answer.text)
    for words in ("POST /search", "POST /tag", "where", "base64", "Answer:"):
        assert words in answer.text
    for name in re.findall(r"href='#(\w+)'", answer.text):
        assert f"id='{name}'" in answer.text
