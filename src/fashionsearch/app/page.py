"""The page as Gradio has it: three parts of HTML, and one event that changes them. Imported by `server` alone."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import gradio as gr

from fashionsearch.app import html
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.visit import Visit

_HERE = Path(__file__).parent
_FORGOTTEN = 3600  # seconds after which a visit that is over is forgotten
_WAITING = 32  # events in the queue
_VISITS = 20  # that are remembered, each with its photo


def make_page(catalogue: Catalogue, uploads: Path) -> gr.Blocks:
    """Return the page of a catalogue.

    Args:
        catalogue: to search.
        uploads: folder where Gradio puts what browsers upload.
    """

    def act(visit: Visit | None, event: gr.EventData) -> tuple[object, ...]:
        visit = visit or Visit(catalogue, uploads)
        try:
            visit.act(event._data)
        except Exception:  # a visitor is told in words, and whoever started the page sees the rest
            traceback.print_exc(file=sys.stderr)
            visit.words, visit.is_problem = "Something went wrong; the terminal says what.", True
        return visit, html.asking(visit), html.finding(visit), html.window(visit)

    first = Visit(catalogue, uploads)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    page = gr.Blocks(title=f"{catalogue.name} – fashionsearch", analytics_enabled=False)
    with page:
        visit = gr.State(None, time_to_live=_FORGOTTEN)
        with gr.Row():
            asking = _part("asking", html.asking(first), script)
            finding = _part("finding", html.finding(first), script)
        window = _part("window", "", script)
        parts = [asking, finding, window]
        for part in parts:
            part.click(
                act,
                inputs=[visit],
                outputs=[visit, *parts],
                show_progress="hidden",
                queue=True,
                api_visibility="private",
                concurrency_limit=1,
                concurrency_id="catalogue",
            )
    page.queue(max_size=_WAITING, api_open=False)
    page.state_session_capacity = _VISITS
    return page


def theme() -> gr.themes.Base:
    """Return the page's looks, with the fonts of the visitor's machine."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", font=fonts, font_mono=("monospace",)
    ).set(body_text_color_subdued="#566072", body_text_color_subdued_dark="#a9b3c4")


def style() -> str:
    """Return the page's style sheet."""
    return (_HERE / "page.css").read_text(encoding="utf-8")


def _part(name: str, value: str, script: str) -> gr.HTML:
    return gr.HTML(
        value, elem_id=name, elem_classes="part", js_on_load=script, apply_default_css=False, container=False
    )
