"""Fair timing: contenders alternate in one run, and what is compared is the ratio within each round.

A machine slows down and speeds up while a benchmark runs. Contenders that run close together share that, so their ratio
stays where their seconds do not. The order turns round every other round: none always comes first.

    seconds = alternate({"ours": embed_all, "timm": timm_loop}, pairs=5)
    row = {"ours": median(seconds["ours"]).row(), "ratio": ratio(seconds["timm"], seconds["ours"]).row()}
    write("throughput", [row], folder=options.out, about={"photos": 512})
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from environment import environment
from scipy.stats import binom, bootstrap

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval."""

    value: float
    low: float
    high: float
    confidence: float
    count: int

    def row(self, digits: int = 4) -> dict[str, float]:
        """Return the figures for a JSON file, rounded to so many significant digits."""
        figures = {name: float(f"{value:.{digits}g}") for name, value in asdict(self).items()}
        return {**figures, "count": self.count}


def median(values: Sequence[float] | Seconds, confidence: float = 0.95) -> Estimate:
    """Return the median, and the narrowest symmetric interval between two of the sorted values that is as sure as asked.

    That holds for any distribution. With fewer than six values the interval is their whole range, and says how sure that
    is: 0.9375 for five.

    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    left_out = max(int(binom.ppf((1 - confidence) / 2, count, 0.5)) - 1, 0)
    sure = 1 - 2 * float(binom.cdf(left_out, count, 0.5))
    return Estimate(
        float(np.median(ordered)), float(ordered[left_out]), float(ordered[count - 1 - left_out]), sure, count
    )


def ratio(slower: Sequence[float] | Seconds, faster: Sequence[float] | Seconds) -> Estimate:
    """Return how many times as fast the second is: the median of the ratios within each round."""
    return median(np.asarray(slower, dtype=np.float64) / np.asarray(faster, dtype=np.float64))


def resampled(statistic: Callable[..., Any], *values: Seconds, confidence: float = 0.95) -> Estimate:
    """Return any statistic of rounds, with the interval of its bootstrap: rounds are drawn anew, all contenders' together."""
    how: dict[str, Any] = {"paired": True, "vectorized": True, "n_resamples": 2000, "method": "percentile"}
    drawn = bootstrap(values, statistic, confidence_level=confidence, rng=0, **how)
    low, high = drawn.confidence_interval
    return Estimate(float(statistic(*values, axis=-1)), float(low), float(high), confidence, len(values[0]))


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    *,
    pairs: int,
    warm_ups: int = 1,
    before: Callable[[str], object] | None = None,
    progress: bool = True,
) -> dict[str, Seconds]:
    """Run every contender once a round; return the seconds of each, in the order of the rounds.

    The warm-ups are rounds before those that are measured: they compile, allocate and fill the page cache. `before` is
    called with the contender's name before each of its runs, outside the clock.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for step in range(warm_ups + pairs):
        order = list(contenders) if step % 2 == 0 else list(reversed(contenders))
        for name in order:
            if before is not None:
                before(name)
            began = time.perf_counter()
            contenders[name]()
            elapsed = time.perf_counter() - began
            if step >= warm_ups:
                seconds[name].append(elapsed)
        if progress and step >= warm_ups:
            latest = ", ".join(f"{name} {values[-1]:.3g} s" for name, values in seconds.items())
            print(f"round {step - warm_ups + 1} of {pairs}: {latest}", flush=True)
    return {name: np.array(values) for name, values in seconds.items()}


def write(
    question: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    folder: Path,
    about: Mapping[str, Any],
    quick: bool = False,
) -> Path:
    """Write rows and what they depend on as `<question>-cpu-<date>.json`; return the path."""
    surroundings = environment()
    content = {"question": question, **about, "environment": surroundings, "rows": list(rows)}
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{'quick-' if quick else ''}{question}-{surroundings['device']}-{surroundings['date']}"
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}", flush=True)
    return path
