"""A network in two parts, what is frozen and what learns, so that the first can run once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.runtimes.base import Network

_NEARLY = 0.9


class FrozenPrefix:
    """A network in two parts: all before what learns, and the rest.

    The network is not taken apart. To run the first part alone, it is stopped where the second begins. To run the second
    alone, the modules before it return what they returned once for a blank photo, and it gets the kept activations in place
    of its input. `find_prefix` has tried that this gives what the whole network gives.

    Args:
        network: normalisation and backbone.
        shape: (1, 3, H, W) of a photo.
        cut: the module that begins the second part; None where nothing of the network learns.
        before: modules that ran before it, each with the outputs of its runs.
    """

    def __init__(
        self,
        network: Network,
        shape: tuple[int, ...],
        cut: nn.Module | None,
        before: dict[nn.Module, list[Any]],
    ) -> None:
        self._network, self._cut, self._before = network, cut, before
        self._blank = torch.zeros(shape, device=network.mean.device)

    @torch.no_grad()
    def run(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to the activations (n, …) that the rest takes."""
        if self._cut is None:
            return self._network.embed(photos)

        def stop(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            raise _Reached(inputs[0])

        with _hooked(self._cut, stop):
            try:
                self._network.embed(photos)
            except _Reached as reached:
                return reached.activations
        raise errors.TrainingError(
            "the network did not come to the layers that learn, as it did before; give cached_views=0"
        )

    def rest(self, activations: torch.Tensor) -> torch.Tensor:
        """Map activations to (n, dim) embeddings; gradients flow through what learns."""
        if self._cut is None:
            return activations
        reached = False

        def take(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            nonlocal reached
            if reached:
                return None
            reached = True
            return (activations, *inputs[1:])

        def remembered(outputs: list[Any], own: Callable[..., Any]) -> Callable[..., Any]:
            waiting = iter(outputs)
            return lambda *args, **kwargs: own(*args, **kwargs) if reached else next(waiting)

        with contextlib.ExitStack() as stack:
            stack.enter_context(_hooked(self._cut, take))
            for module, outputs in self._before.items():
                stack.enter_context(_replaced(module, remembered(outputs, module.forward)))
            return self._network.embed(self._blank)


class _Reached(Exception):
    def __init__(self, activations: torch.Tensor) -> None:
        super().__init__()
        self.activations = activations


@contextlib.contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    own = vars(module).get("forward")  # some modules and libraries set one of their own
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


@torch.no_grad()
def find_prefix(network: Network, image_size: tuple[int, int]) -> FrozenPrefix | None:
    """Return the network in two parts, or None where more than one tensor goes from one to the other.

    The second part begins with the module that first learns, or with one around it.

    Args:
        network: in evaluation mode; it is left as it is.
        image_size: (height, width).
    """
    shape = (1, 3, *image_size)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return FrozenPrefix(network, shape, None, {})
    events = _events(network, shape)
    photos = torch.rand((2, *shape[1:]), generator=torch.Generator().manual_seed(0)).to(network.mean.device)
    wanted = network.embed(photos)
    for module in _cuts(events):
        prefix = FrozenPrefix(network, shape, module, _ran_before(events, module))
        if _agrees(prefix, photos, wanted):
            return prefix
    return None


def _agrees(prefix: FrozenPrefix, photos: torch.Tensor, wanted: torch.Tensor) -> bool:
    try:
        found = prefix.rest(prefix.run(photos))
    # What networks raise when one part of them sees another batch than the rest has no common base.
    except Exception:
        return False
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def _cuts(events: list[_Event]) -> list[nn.Module]:
    """Return the modules around the one that first learns, and itself, in the order to try them.

    First those before which at least nine tenths ran of all that could be saved, the smallest input first, for that is kept;
    then the others, from the inside out. One before which nothing with weights ran saves nothing.
    """
    weighted = [bool(list(module.parameters(recurse=False))) for module, _, _ in events]
    first = next(
        (
            place
            for place, (module, starts, _) in enumerate(events)
            if starts and any(each.requires_grad for each in module.parameters(recurse=False))
        ),
        -1,
    )
    around = []
    for place, (module, starts, values) in enumerate(events[: first + 1]):
        saved = sum(weighted[each] and not events[each][1] for each in range(place))
        takes_one_tensor = starts and len(values) == 1 and isinstance(values[0], torch.Tensor)
        if takes_one_tensor and saved and any(inner is events[first][0] for inner in module.modules()):
            around.append((saved, values[0].numel(), place, module))
    most = max((saved for saved, *_ in around), default=0)

    def order(cut: tuple[int, int, int, nn.Module]) -> tuple[bool, int, int]:
        saved, numbers, place, _ = cut
        late = saved >= _NEARLY * most
        return not late, numbers if late else -place, -place

    return [cut[-1] for cut in sorted(around, key=order)]


_Event = tuple[nn.Module, bool, Any]


def _events(network: Network, shape: tuple[int, ...]) -> list[_Event]:
    """Return each module's start, with its inputs, and end, with its output, in the order of a blank photo's run."""
    events: list[_Event] = []

    def starts(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        events.append((module, True, inputs))

    def ends(module: nn.Module, _: object, output: object) -> None:
        events.append((module, False, output))

    with contextlib.ExitStack() as stack:
        for module in network.modules():
            for handle in (module.register_forward_pre_hook(starts), module.register_forward_hook(ends)):
                stack.callback(handle.remove)
        network.embed(torch.zeros(shape, device=network.mean.device))
    return events


def _ran_before(events: list[_Event], cut: nn.Module) -> dict[nn.Module, list[Any]]:
    """Return the outermost modules that ended before another began, with their outputs."""
    earlier = events[
        : next(place for place, (each, starts, _) in enumerate(events) if each is cut and starts)
    ]
    ended: dict[nn.Module, list[Any]] = {}
    running: list[nn.Module] = []
    unfinished = {module for module, starts, _ in earlier if starts} - {
        module for module, starts, _ in earlier if not starts
    }
    for module, starts, value in earlier:
        if starts:
            running.append(module)
            continue
        running.pop()
        if all(outer in unfinished for outer in running):
            ended.setdefault(module, []).append(value)
    return ended
