"""What a service is started with, checked."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from fashionsearch import errors
from fashionsearch.service.tokens import Tokens

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?")


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take; of each worker.

    Attributes:
        body: bytes of a request's body.
        pixels: of a photo.
        k: items of an answer, its offset included.
        concurrency: requests that are read or worked on at once; more are told to come again (503).
        waiting: bytes of bodies that are held at once.
        head_seconds: within which the head of a request must arrive.
        body_seconds: within which its body must (408).
        seconds: within which it must be answered (504).
        idle_seconds: after which a connection without a request is closed.
        stop_seconds: that requests have to end when the service is stopped.
        connections: that are open at once.
        head: bytes of a request's head (431).
    """

    body: int = 8 * 2**20
    pixels: int = 25_000_000
    k: int = 1000
    concurrency: int = 64
    waiting: int = 128 * 2**20
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    seconds: float = 30.0
    idle_seconds: float = 15.0
    stop_seconds: float = 10.0
    connections: int = 1000
    head: int = 2**15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise errors.InputError(f"the limit {name}={value!r} is not above 0")


@dataclass(frozen=True)
class Settings:
    """What a service is started with.

    Attributes:
        folder: of the index, saved or opened.
        host: address to listen at.
        port: likewise; 0 is one that is free.
        workers: processes that answer.
        writable: whether items may be added, changed and removed.
        tokens: that a client must show.
        cors_origins: addresses whose pages may ask from a browser.
        photos: folder of the items' photos, which are shown then; None shows none.
        tagger: folder of a saved tagger, or "fashion"; None is the index's own, or "fashion" where it has none.
        url: of the server of the items, instead of the saved one.
        rebuild: read no graph's file of the folder.
        limits: on requests.
        metrics_folder: where the workers' metrics meet, which `processes` makes; None is one worker.
        writer: address of the writer's socket, which `processes` makes; None changes the index in this process.

    Raises:
        InputError: if they can't be used, or leave a catalogue open to others.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    writable: bool = False
    tokens: Tokens = field(default_factory=Tokens)
    cors_origins: tuple[str, ...] = ()
    photos: Path | None = None
    tagger: str | None = None
    url: str | None = None
    rebuild: bool = False
    limits: Limits = field(default_factory=Limits)
    metrics_folder: str | None = None
    writer: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise errors.InputError(f"--workers {self.workers} is not a whole number from 1 up")
        if not 0 <= self.port <= 65535:
            raise errors.InputError(f"--port {self.port} is not a number from 0 to 65535")
        if self.writable and self.tokens.write is None:
            raise errors.InputError(
                "--writable needs a token that clients show to change items: set FASHIONSEARCH_TOKEN, or name a file that "
                "holds it with --token FILE"
            )
        if not self.is_local and self.tokens.read is None:
            raise errors.InputError(
                f"--host {self.host} lets other machines search the catalogue, which needs a token: set "
                "FASHIONSEARCH_READ_TOKEN, or name a file that holds it with --read-token FILE"
            )
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise errors.InputError(
                    f"--cors-origin {origin} is not an address as a browser sends it, such as https://shop.example: in small "
                    "letters, without a path or a slash at the end"
                )
        if self.photos is not None and not self.photos.is_dir():
            raise errors.DataError(f"--photos {self.photos} is no folder")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
