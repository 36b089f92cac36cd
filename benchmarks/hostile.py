"""Requests that mean no good, for a service that must bear them all; `raw_http` sends them.

Each is drawn by a number, so a run can be repeated. None may be answered by 5xx, other than by 503 or 504,
or tell anything
of the server: its paths, its code, its files.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator

from PIL import Image
from raw_http import Hostile

_HOST = "localhost"
_PIECE = 2**16
_FIELDS = ("photo", "vector", "id", "text", "text_weight", "text_match", "k", "offset", "where", "exclude",
"group_by",
           "diversity", "min_probability", "coverage", "exact", "like", "unlike", "towards", "region",
           "background")  # fmt: skip
_VALUES = (None, True, -1, 0, 1.5, 10**30, 10**400, 1e308, "", "x", "\0", "\u202e", "9" * 3000, "/etc/passwd",
"file:///etc/passwd",
           "http://127.0.0.1:1/x", "../../..", [], [[]], [None], {}, {"a": {}}, {"": 1}, {"\0file": "x"}, [1e400],
           {"gender": {"gte": 10**400}}, {"price": {"gt": -(10**60)}}, {"gender": [10**50, "x", None, True]},
           {"or": []}, {"and": [{}]}, {"not": 1}, {"a": {"contains": ""}}, {"a": {"exists": 1}},
           [{"photo": "x"}])  # fmt: skip
_PATHS = ("/items/../../etc/passwd", "/items/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/items/..%5c..%5cwindows",
"/items/%00", "/items/",
          "/items//etc/passwd", "/photos/../../etc/passwd", "/photos/%2e%2e/%2e%2e/etc/passwd",
          "/photos//etc/passwd", "/items/%ff%fe",
          "/photos/%00", "/docs/../../etc/passwd", "/static/../x", "//etc/passwd", "/.env",
          "/items/file:%2f%2f%2fetc%2fpasswd",
          "/search/../metrics", "/?x=%s%n", "/openapi.json?x=1", "/items/" + "a" * 5000,
          "/items/99999999999999999999999999")  # fmt: skip


def requests(count: int, seed: int = 0) -> Iterator[Hostile]:
    """Yield so many requests, of each kind in turn."""
    kinds: list[Callable[[random.Random], Hostile]] = [
        _broken_json, _wrong_types, _wrong_types, _nested, _not_numbers, _giant, _paths, _addresses, _bombs,
        _damaged, _heads,
        _lengths, _types, _forms, _methods, _words, _tokens, _garbage, _changes, _facets, _slow,
    ]  # fmt: skip
    for number in range(count):
        drawn = random.Random(f"{seed} {number}")  # noqa: S311 (to be repeated)
        yield kinds[number % len(kinds)](drawn)


def _head(method: str, path: str, **headers: str | int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {_HOST}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1")


def _post(kind: str, body: bytes, path: str = "/search", content_type: str = "application/json") -> Hostile:
    return Hostile(kind, _head("POST", path, Content_Type=content_type, Content_Length=len(body)), [body])


def _broken_json(drawn: random.Random) -> Hostile:
    whole = json.dumps({"text": "red dress", "k": 5, "where": {"gender": "Women"}}).encode()
    body = drawn.choice(
        [whole[: drawn.randrange(len(whole))], whole[:-1] + b",}", b"\xff\xfe" + whole, b"\xef\xbb\xbf" + whole,
        b"[" + whole,
         whole + whole, b"null", b"[]", b'"x"', b"1", b"{'text': 'x'}", b'{"text": "\\ud800"}', b'{"text": "\\',
         b'{"k": 01}',
         bytes(drawn.randrange(256) for _ in range(200))]
    )  # fmt: skip
    return _post("bad JSON", body)


def _wrong_types(drawn: random.Random) -> Hostile:
    query = {"text": "red dress", drawn.choice(_FIELDS): drawn.choice(_VALUES)}
    if drawn.random() < 0.3:
        query[drawn.choice([*_FIELDS, "path", "url", "__class__", "fields"])] = drawn.choice(_VALUES)
    return _post("wrong types", json.dumps(query).encode())


def _nested(drawn: random.Random) -> Hostile:
    deep = drawn.choice([15, 21, 60, 190, 250, 5000, 100_000])
    inner = drawn.choice(
        [('{"not":', "{}", "}"), ('{"and":[', "{}", "]}"), ("[", "1", "]"), ('{"a":', "1", "}")]
    )
    where = inner[0] * deep + inner[1] + inner[2] * deep
    return _post("deep nesting", f'{{"text": "x", "where": {where}}}'.encode())


def _not_numbers(drawn: random.Random) -> Hostile:
    number = drawn.choice(["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "nan", "1e-400"])
    place = drawn.choice(
        ['"k": {}', '"text_weight": {}', '"where": {{"year": {{"gte": {}}}}}', '"where": {{"year": [{}]}}',
        '"vector": [{}, 1]',
         '"region": [0, 0, {}, 1]', '"diversity": {}', '"coverage": {}', '"like": [{}]', '"exclude": [{}]']
    )  # fmt: skip
    return _post("no numbers", f'{{"text": "x", {place.format(number)}}}'.encode())


def _giant(drawn: random.Random) -> Hostile:
    number = drawn.choice(["9" * 25, "9" * 400, "-" + "9" * 4000, "9" * 6000, "1" + "0" * 100_000])
    place = drawn.choice(
        ['"k": {}', '"offset": {}', '"id": {}', '"exclude": [{}]', '"like": [{}]', '"where": {{"year": {}}}',
         '"where": {{"year": {{"lt": {}}}}}', '"where": {{"or": [{{"gender": [{}]}}]}}', '"vector": [{}]']
    )  # fmt: skip
    return _post("giant numbers", f'{{"text": "x", {place.format(number)}}}'.encode())


def _paths(drawn: random.Random) -> Hostile:
    return Hostile("paths", _head("GET", drawn.choice(_PATHS)))


def _addresses(drawn: random.Random) -> Hostile:
    name = drawn.choice(
        ["/etc/passwd", "file:///etc/passwd", "../../../etc/hostname", "http://127.0.0.1:1/x.jpg", "~/.ssh/id_rsa",
        "/dev/zero",
         "/proc/self/environ", "\\\\host\\share\\x.jpg", "data:image/png;base64,AAAA", "/dev/stdin\0.jpg"]
    )  # fmt: skip
    fields = drawn.choice(
        [{"photo": name}, {"like": [name]}, {"like": [name], "unlike": [name, "x"]}, {"id": name}, {"photo": [name]},
         {"text": "x", "unlike": [{"photo": name}]}, {"text": name}, {"photo": {"path": name}}]
    )  # fmt: skip
    return _post("addresses", json.dumps(fields).encode(), drawn.choice(["/search", "/search", "/tag"]))


def _bombs(drawn: random.Random) -> Hostile:
    make = drawn.choice(
        [lambda: _png(20_000, 20_000, b""), lambda: _png(2**31 - 1, 2**31 - 1, b""), lambda: _png(4900, 4900,
        b"\0" * (4900 * 4901)),
         lambda: _png(6000, 6000, b"\0" * (6000 * 6001)), lambda: _png(10, 10, b"\0" * 110, b"\0" * 50_000_000),
         lambda: b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9", _huge_webp,
         _huge_gif, _huge_bmp]
    )  # fmt: skip
    photo: bytes = make()
    path = drawn.choice(["/search", "/tag"])
    if drawn.random() < 0.15:
        squeezed = gzip.compress(b"\0" * 20_000_000)
        head = _head(
            "POST", path, Content_Type="image/png", Content_Encoding="gzip", Content_Length=len(squeezed)
        )
        return Hostile("bombs", head, [squeezed])
    if drawn.random() < 0.3:
        return _post("bombs", json.dumps({"photo": base64.b64encode(photo).decode()}).encode(), path)
    return _post("bombs", photo, path, "image/png")


def _damaged(drawn: random.Random) -> Hostile:
    form = drawn.choice(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    buffer = io.BytesIO()
    Image.effect_noise((60, 80), 60).convert("RGB").save(buffer, form)
    data = bytearray(buffer.getvalue())
    for _ in range(drawn.choice([1, 5, 50])):
        data[drawn.randrange(len(data))] = drawn.randrange(256)
    if drawn.random() < 0.4:
        data = data[: drawn.randrange(len(data))]
    return _post("damaged photos", bytes(data), drawn.choice(["/search", "/tag"]), f"image/{form.lower()}")


def _heads(drawn: random.Random) -> Hostile:
    size = drawn.choice([10_000, 40_000, 70_000, 1_000_000, 4_000_000])
    what = drawn.choice(["one", "many", "address", "name", "host", "endless"])
    if what == "endless":
        return Hostile("heads", b"GET /health HTTP/1.1\r\nX-A: " + b"a" * size, None)
    if what == "address":
        return Hostile("heads", _head("GET", "/health?" + "a" * size))
    if what == "name":
        return Hostile("heads", _head("GET", "/health", **{"X" * (size % 60_000 + 1): "1"}))
    if what == "host":
        host = drawn.choice(
            [b"evil.example", b"", b"localhost:99999999", b"[::1", b"127.0.0.1.evil.example", b"\xff\xfe"]
        )
        return Hostile("heads", b"GET /catalogue HTTP/1.1\r\nConnection: close\r\nHost: " + host)
    if what == "many":
        return Hostile(
            "heads", _head("GET", "/health", **{f"X-{number}": "a" * 50 for number in range(size // 60)})
        )
    return Hostile("heads", _head("GET", "/health", **{"X-Long": "a" * size}))


def _lengths(drawn: random.Random) -> Hostile:
    what = drawn.randrange(7)
    if what == 0:  # a gigabyte, announced
        head = _head("POST", "/search", Content_Type="image/jpeg", Content_Length=2**30)
        return Hostile("lengths", head, lambda: (b"\xff" * _PIECE for _ in range(2**30 // _PIECE)))
    if what == 1:  # a gigabyte, bit by bit
        head = _head("POST", "/tag", Content_Type="image/jpeg", Transfer_Encoding="chunked")
        return Hostile(
            "lengths",
            head,
            lambda: (b"10000\r\n" + b"\xff" * _PIECE + b"\r\n" for _ in range(2**30 // _PIECE)),
        )
    if what == 2:  # where nobody reads it
        head = _head(drawn.choice(["GET", "POST"]), "/nowhere", Transfer_Encoding="chunked")
        return Hostile("lengths", head, lambda: (b"10000\r\n" + b"x" * _PIECE + b"\r\n" for _ in range(2000)))
    length = ["-1", "1e9", "99999999999999999999999", "0x10", "5, 6"][drawn.randrange(5)]
    if what == 3:
        return Hostile(
            "lengths",
            _head("POST", "/search", Content_Type="application/json", Content_Length=length),
            [b"{}"],
        )
    if what == 4:
        both = {"Content_Length": 5, "Transfer_Encoding": "chunked"}
        return Hostile(
            "lengths", _head("POST", "/search", **both), [b"0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n"]
        )
    if what == 5:
        head = _head("POST", "/search", Content_Type="application/json", Transfer_Encoding="chunked")
        return Hostile(
            "lengths", head, [drawn.choice([b"zz\r\n", b"ffffffffffffffff\r\n", b"5\r\nab", b"-1\r\n\r\n"])]
        )
    head = _head("POST", "/search", Content_Type="application/json", Content_Length=2, Expect="100-continue")
    return Hostile("lengths", head, [b"{}"])


def _types(drawn: random.Random) -> Hostile:
    kind = drawn.choice(
        ["text/xml", "text/plain", "application/x-www-form-urlencoded", "application/x-python-pickle",
        "multipart/form-data",
         "application/json; charset=utf-7", "image/svg+xml", "", "image/", "*/*", "application/octet-stream"]
    )  # fmt: skip
    body = drawn.choice(
        [b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>", b"<svg onload='alert(1)'/>",
        b"a=1&b=2", b"",
         b"cos\nsystem\n(S'id'\ntR.", b'{"text": "x"}']
    )  # fmt: skip
    return _post("types", body, drawn.choice(["/search", "/tag", "/facets", "/items"]), kind)


def _forms(drawn: random.Random) -> Hostile:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    photo = part % (b"photo", b'; filename="../../x.jpg"', b"\xff\xd8\xffx")
    body = drawn.choice(
        [photo, photo * 2, photo * 500, photo + part % (b"query", b"", b"{"), photo + part % (b"query", b"",
        b"x" * 400_000),
         photo + part % (b"\0", b"", b"1"), part % (b"photo", b"", b"/etc/passwd"), b"--b\r\n" * 1000,
         b"--b\r\nX: " + b"a" * 100_000,
         part % (b"query", b'; filename="x"', b"{}") + photo, part % (b"photo", b'; filename="x"', b""), b"",
         b"--b--",
         b'--b\r\nContent-Disposition: form-data; name="photo"; filename*=utf-99\'\'x\r\n\r\nx\r\n']
    )  # fmt: skip
    kind = drawn.choice(["multipart/form-data; boundary=b"] * 6 + ["multipart/form-data; boundary=" + "b" * 300,
                        "multipart/form-data; boundary=b; charset=nix"])  # fmt: skip
    return _post("forms", body + b"--b--\r\n", drawn.choice(["/search", "/tag", "/items"]), kind)


def _methods(drawn: random.Random) -> Hostile:
    method = drawn.choice(
        ["PUT", "DELETE", "TRACE", "CONNECT", "PATCH", "OPTIONS", "HEAD", "FOO", "PROPFIND", "get"]
    )
    path = drawn.choice(
        ["/search", "/items", "/items/1", "/health", "/docs", "/metrics", "*", "/items/1?x=1"]
    )
    return Hostile("methods", _head(method, path, Content_Length=0))


def _words(drawn: random.Random) -> Hostile:
    text = drawn.choice(
        ["a" * 1001, "\x00", "\u202e\u0000", "🧥" * 900, "%s%n{0}{x}", "'; DROP TABLE items; --",
        "<script>alert(1)</script>", "\n" * 500,
         " ", "\ufffe", "".join(chr(drawn.randrange(1, 0xD7FF)) for _ in range(300))]
    )  # fmt: skip
    extra = drawn.choice([{}, {"text_match": True}, {"group_by": text[:200]}, {"towards": {text[:100]: text[:100]}},
                          {"where": {text[:100]: text}}, {"where": {"gender": {"contains": text}}}])  # fmt: skip
    return _post("words", json.dumps({"text": text, **extra}).encode())


def _tokens(drawn: random.Random) -> Hostile:
    shown = drawn.choice(
        [
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "Bearer \xff\xfe",
            "Bearer " + "a" * 20_000,
            "bearer null",
            "\x01",
            "Digest x",
        ]
    )
    method, path = drawn.choice(
        [("POST", "/items"), ("DELETE", "/items/1"), ("PATCH", "/items/1"), ("GET", "/catalogue")]
    )
    return Hostile("tokens", _head(method, path, Authorization=shown, Content_Length=0))


def _garbage(drawn: random.Random) -> Hostile:
    return Hostile(
        "garbage",
        drawn.choice(
            [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\r\n\r\n", b"\r\n" * 500,
             b"GET / HTTP/9.9\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
             bytes(drawn.randrange(256) for _ in range(500)),
             b"GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
             b"GET /health HTTP/1.1\nHost: localhost\n\n", b"GET /he\0alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
             b"GET /health HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n"]
        ),
        None,
    )  # fmt: skip


def _changes(drawn: random.Random) -> Hostile:
    value = drawn.choice(_VALUES)
    fields = drawn.choice(
        [{"id": value, "vector": [1.0]}, {"vector": value}, {"metadata": value, "vector": [1.0]},
        {"metadata": {"a": value}},
         {"metadata": {"\0file": "x"}}, {"photo": "/etc/passwd"}, {"metadata": {}}, {"source": "/etc/passwd"}]
    )  # fmt: skip
    method, path = drawn.choice(
        [("POST", "/items"), ("PATCH", "/items/no-such-item"), ("DELETE", "/items/no-such-item")]
    )
    body = b"" if method == "DELETE" else json.dumps(fields).encode()
    return Hostile(
        "changes", _head(method, path, Content_Type="application/json", Content_Length=len(body)), [body]
    )


def _facets(drawn: random.Random) -> Hostile:
    fields = {
        "field": drawn.choice([*_VALUES, "gender", "\0file", "nix"]),
        "where": drawn.choice([None, *_VALUES]),
    }
    return _post("facets", json.dumps(fields).encode(), "/facets")


def _slow(drawn: random.Random) -> Hostile:
    if drawn.random() < 0.5:
        head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "
        return Hostile("slow heads", head, lambda: (b"a" for _ in range(40)), 0.1, is_open=True)
    head = _head("POST", "/search", Content_Type="application/json", Content_Length=1000)
    return Hostile("slow bodies", head, lambda: (b"{" for _ in range(40)), 0.1)


def _png(width: int, height: int, rows: bytes, comment: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(comment)) if comment else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + text
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _huge_webp() -> bytes:
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2 + b"VP8 \0\0\0\0"


def _huge_gif() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0;"


def _huge_bmp() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0)
    )
