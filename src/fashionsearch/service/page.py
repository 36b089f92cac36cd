"""The service's own description: OpenAPI as JSON, and as a page that asks nothing of any other machine."""

from __future__ import annotations

import html as escaping
import json
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fashionsearch.service import schemas

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
}
_REFERENCE = "#/components/schemas/{model}"
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h2 { border-top: 1px solid #ccc; padding-top: 1rem; overflow-wrap: anywhere }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; background: #f3f3f3 }
pre { padding: .7rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0 }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #e6e6e6 } code, pre { background: #23262d } }
"""


def takes(schema: type[BaseModel], name: str | None = None) -> dict[str, Any]:
    """Return what OpenAPI says of a body: JSON, and beside it a form or a photo's bytes where the fields have a name."""
    reference = {"$ref": _REFERENCE.format(model=schema.__name__)}
    content: dict[str, Any] = {"application/json": {"schema": reference}}
    found: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    if name is not None:
        photo = {"type": "string", "format": "binary"}
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {"photo": photo, name: reference},
            },
            "encoding": {name: {"contentType": "application/json"}},
        }
        content["image/*"] = content["application/octet-stream"] = {"schema": photo}
        found["parameters"] = [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": "the fields as JSON, where the body is the photo itself",
                "content": {"application/json": {"schema": reference}},
            }
        ]
    return found


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application's routes, with the schemas of their bodies."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    found = app.openapi()
    parts = found["components"]["schemas"]
    for model in schemas.BODIES:
        described = model.model_json_schema(ref_template=_REFERENCE)
        parts.update(described.pop("$defs", {}))
        parts[model.__name__] = described
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{}, {"token": []}]
    return found


def html(described: dict[str, Any]) -> str:
    """Return the description as a page without scripts."""
    info, known = described["info"], described["components"]["schemas"]
    parts = [
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1><p>{_text(info['description'])} "
        "The same for programs: <a href='openapi.json'>openapi.json</a>. A token goes into the header "
        "<code>Authorization: Bearer …</code>.</p>"
    ]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {_text(path)}</code></h2>")
            parts.append(f"<p>{_text(operation.get('description') or operation['summary'])}</p>")
            if (body := operation.get("requestBody")) is not None:
                kinds = ", ".join(f"<code>{_text(kind)}</code>" for kind in body["content"])
                parts.append(f"<p>Body: {kinds}</p>")
                parts.append(_fields(body["content"]["application/json"]["schema"], known))
            answer = operation["responses"].get("200", {}).get("content", {}).get("application/json")
            if answer is not None and "$ref" in answer["schema"]:
                parts.append("<p>Answer:</p>" + _fields(answer["schema"], known))
    parts.append("<h1>Parts of these</h1>")
    parts += [
        f"<h2 id='{_text(name)}'>{_text(name)}</h2>" + _fields({"$ref": f"#/{name}"}, known)
        for name in sorted(known)
    ]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{_text(info['title'])}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _fields(reference: dict[str, Any], known: dict[str, Any]) -> str:
    schema = known[reference["$ref"].rpartition("/")[2]]
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = " <b>needed</b>" if name in schema.get("required", ()) else ""
        examples = "".join(f" <code>{_text(json.dumps(each))}</code>" for each in field.get("examples", ()))
        default = f" ({_text(json.dumps(field['default']))})" if field.get("default") is not None else ""
        rows.append(
            f"<tr><td><code>{_text(name)}</code>{needed}</td><td>{_kind(field)}{default}</td>"
            f"<td>{_text(field.get('description', ''))}{examples}</td></tr>"
        )
    return f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _kind(field: dict[str, Any]) -> str:
    """Return the type of a field in words."""
    if "$ref" in field:
        name = _text(field["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in field:
            return " or ".join(dict.fromkeys(_kind(each) for each in field[joined]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if "enum" in field:
        return ", ".join(_text(json.dumps(each)) for each in field["enum"])
    return _text(str(field.get("type", "anything")))


def _text(words: str) -> str:
    return escaping.escape(words, quote=True)
