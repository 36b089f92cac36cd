"""Tables of serving without torch: first searches, the service, the page in the browser, what is installed, and the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from report.tables import interval, measured_on, newest, table

_LARGE = 3e6  # bytes of a package that has a line of its own
_ACTIONS = {
    "photo": "a photo is pasted",
    "search": "“Search” with words",
    "like": "“Like”",
    "more": "“More results”",
}


def serving_start(_: Sequence[str]) -> str:
    """Return a table of first searches and tags in fresh processes without torch, beside the same by hand."""
    content = newest("serving-start")
    rows = [
        [
            f"`{row['start']}`" if row["start"].startswith("fashionsearch") else row["start"],
            f"{row['cpu_seconds']['value']:.2f}",
            "1" if "by hand" in row["start"] else interval(row["times_by_hand"]),
            f"{row['seconds']['value']:.2f}",
            f"{row['most_resident_bytes'] / 1e6:.0f} MB",
        ]
        for row in content["rows"]
    ]
    head = ("Start", "CPU seconds", "Times by hand", "Seconds", "Most memory")
    return (
        f"{table(head, rows)}\n\n{measured_on(content)}, {content['items']:,} items: "
        f"medians of {content['rows'][0]['seconds']['count']} alternating rounds, in brackets "
        "their whole range."
    )


def slim(_: Sequence[str]) -> str:
    """Return a table of what the slim installation takes up, by its largest packages, without and with the service."""
    content = newest("serving-start")
    serving, service = content["slim_packages"], content["service_packages"]
    largest = [name for name, size in service.items() if size >= _LARGE]
    counted = [(name, serving.get(name, 0), service[name]) for name in largest]
    rest = [
        content[f"{kind}_bytes"] - sum(row[place] for row in counted)
        for place, kind in ((1, "slim"), (2, "service"))
    ]
    counted += [("the others", *rest), ("together", content["slim_bytes"], content["service_bytes"])]
    rows = [[name, *(f"{size / 1e6:.0f} MB" if size else "–" for size in sizes)] for name, *sizes in counted]
    return table(("Package", "Searching and tagging", "With the service"), rows)


def service(_: Sequence[str]) -> str:
    """Return a table of the service under load, and a sentence of what hostile requests did."""
    content = newest("service")
    load, hostile = content["rows"]
    rows = [
        ["photos a second of CPU, the service", interval(load["service"], ".0f")],
        *(
            row
            for name in ("by hand", "by hand, not spinning")
            for row in (
                [f"photos a second of CPU, {name}", interval(load[name], ".0f")],
                [f"the service over {name}", interval(load[f"over {name}"])],
            )
        ),
        ["photos a second by the clock", f"{load['photos a second']:.0f}"],
        ["an answer, median", f"{load['p50 (ms)']:.0f} ms"],
        ["an answer, 99 % within", f"{load['p99 (ms)']:.0f} ms"],
        ["wrong answers and errors", f"{load['errors']} of {load['photos']:,}"],
    ]
    return (
        f"{table(('Figure', 'Measured'), rows)}\n\n{measured_on(content)}. {content['items']:,} items, {content['clients']} "
        f"clients. Of {hostile['requests']:,} hostile requests {hostile['5xx']} were answered by a failure of the service "
        f"and {hostile['leaks']} told of its files; its memory grew by {hostile['growth of memory (MiB)']:.0f} MiB."
    )


def browsed(_: Sequence[str]) -> str:
    """Return a table of clicks on the page in the browser, until their results are painted."""
    content = newest("app")
    rows = [
        [_ACTIONS[row["action"]], *(f"{row[name]:.2f} s" for name in ("median_seconds", "p95_seconds"))]
        for row in content["rows"]
    ]
    return (
        f"{table(('What is done', 'Median', '95 % within'), rows)}\n\n{measured_on(content)}. {content['items']:,} photos, "
        f"each {content['rows'][0]['count']} times. Requests that failed: {content['requests_failed']}; to anywhere else: "
        f"{content['requests_elsewhere']}."
    )


def hub(_: Sequence[str]) -> str:
    """Return a table of the way to the hub and back."""
    content = newest("hub")
    rows = [
        [
            f"`{row['what']}`",
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['largest_difference']:g}",
            str(row["sockets_on_second_load"]),
        ]
        for row in content["rows"]
    ]
    head = ("Pushed", "Size", "Largest difference", "Sockets of a second load")
    return f"{table(head, rows)}\n\n{measured_on(content)}."


MAKERS: dict[str, Callable[[Sequence[str]], str]] = {
    "serving-start": serving_start,
    "slim": slim,
    "service": service,
    "app": browsed,
    "hub": hub,
}
