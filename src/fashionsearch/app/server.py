"""Serves the page on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from fashionsearch import errors
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.guard import Guard
from fashionsearch.app.uploads import MOST_BYTES

HOST = "127.0.0.1"
PORT = 7860
_TRIES = 100


def check_packages() -> None:
    """Raise MissingPackageError where Gradio isn't installed; importing it takes seconds."""
    if importlib.util.find_spec("gradio") is None:
        raise errors.MissingPackageError("the page needs Gradio: pip install gradio")


@contextlib.contextmanager
def uploads_folder() -> Iterator[Path]:
    """Give a folder of its own to what browsers upload, which goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fashionsearch-app-"))
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)  # the one way to tell Gradio
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def listening(port: int | None) -> socket.socket:
    """Return a socket of this machine's own address.

    Args:
        port: 0 is any; None is 7860, or the next that is free.

    Raises:
        InputError: if the port is taken.
    """
    for tried in range(PORT, PORT + _TRIES) if port is None else (port,):
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, tried))
        except (OSError, OverflowError):
            opened.close()
        else:
            return opened
    raise errors.InputError(
        f"port {PORT if port is None else port} of this machine is taken; name another one with --port"
    )


def serve(catalogue: Catalogue, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve a catalogue's page until the process is interrupted.

    Args:
        catalogue: to search.
        port: as for `listening`.
        ready: is called with the page's address once it can be opened.

    Raises:
        MissingPackageError: if Gradio isn't installed.
        InputError: if the port is taken.
    """
    check_packages()
    with uploads_folder() as folder, contextlib.closing(listening(port)) as opened:
        # Gradio looks at its environment when it is imported.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        import fastapi
        import gradio
        import uvicorn

        from fashionsearch.app.page import make_page, style, theme

        outer = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        gradio.mount_gradio_app(
            outer,
            make_page(catalogue, folder),
            path="/",
            server_name=HOST,
            server_port=opened.getsockname()[1],
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=MOST_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=theme(),
            css=style(),
        )
        config = uvicorn.Config(
            Guard(outer), log_level="warning", lifespan="on", timeout_graceful_shutdown=2, server_header=False
        )

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    ready(f"http://{HOST}:{opened.getsockname()[1]}")

        Server(config).run(sockets=[opened])
