"""What a faster encoder keeps of the embeddings it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from fashionsearch.results.shown import ShowsFields


@dataclass(frozen=True)
class Fidelity(ShowsFields):
    """How alike the embeddings of a faster encoder are to those of the one it comes from, on the same images.

    Attributes:
        images: how many were compared.
        cosine: mean cosine similarity of an image's two embeddings, in [−1, 1].
        lowest_cosine: the least of them.
        overlap: mean share of an image's 10 nearest others that are among its 10 nearest in the original, in [0, 1].
        accuracy: of a 5-nearest-neighbour vote over the other images, in [0, 1]; None without labels.
        original_accuracy: the same for the original.

    Examples:
        >>> Fidelity(500, 0.9990, 0.9950, 0.97).loss < 0.031
        True
        >>> Fidelity(500, 0.9990, 0.9950, 0.97, accuracy=0.93, original_accuracy=0.92).loss
        0.0
    """

    images: int
    cosine: float
    lowest_cosine: float
    overlap: float
    accuracy: float | None = None
    original_accuracy: float | None = None

    @property
    def loss(self) -> float:
        """What is lost, a fraction: the drop in accuracy with labels, 0 where there is none, else 1 − overlap."""
        if self.accuracy is None or self.original_accuracy is None:
            return 1 - self.overlap
        return max(0.0, self.original_accuracy - self.accuracy)

    def __str__(self) -> str:
        voted = (
            ""
            if self.accuracy is None or self.original_accuracy is None
            else f", k-NN accuracy {self.accuracy:.4f} after {self.original_accuracy:.4f}"
        )
        return (
            f"mean cosine {self.cosine:.4f} (least {self.lowest_cosine:.4f}), {self.overlap:.1%} of the 10 nearest the "
            f"same{voted}, on {self.images:,} images"
        )
