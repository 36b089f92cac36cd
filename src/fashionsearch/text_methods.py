"""Methods for texts that only some encoders have. Light: naming an estimator imports it, and NumPy not yet."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class _Conditional:
    """A method that only those instances have for which a condition holds; another in an instance's place wins."""

    def __init__(self, method: Callable[..., Any], condition: Callable[[Any], bool]) -> None:
        self._method, self._condition = method, condition
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self._method
        if not self._condition(instance):
            raise AttributeError(
                f"this {owner.__name__} embeds no texts: its network has seen photos alone; one of CLIP's embeds both, such "
                "as create_backbone('open_clip:ViT-B-32')"
            )
        return MethodType(self._method, instance)


def only_with_texts(condition: Callable[[Any], bool]) -> Callable[[Method], Method]:
    """Return a decorator for an `embed_text` that is there only in instances that embed texts.

    So what asks whether an encoder knows words need not ask of which kind it is.
    """

    def decorate(method: Method) -> Method:
        return cast(Method, _Conditional(method, condition))

    return decorate


def embeds_text(encoder: object) -> bool:
    """Return whether an encoder embeds texts too."""
    return callable(getattr(encoder, "embed_text", None))
