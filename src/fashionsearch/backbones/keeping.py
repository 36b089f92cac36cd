"""How a `Backbone` is saved and loaded, and its graph exported."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

from fashionsearch import errors, storage
from fashionsearch.backbones import snapshot
from fashionsearch.device import Execution
from fashionsearch.embedding import noticed
from fashionsearch.encoder import GRAPH, GRAPHS, with_graph

if TYPE_CHECKING:
    from typing_extensions import Self


class Kept(snapshot.Network):
    """The part of a `Backbone` that lies in a folder."""

    _exported: bytes | None = None

    def float_graph(self) -> bytes:
        """Return the network in float32 as an ONNX graph from (n, H, W, 3) uint8 "pixels" to (n, dim) float32.

        Raises:
            RuntimeUnavailableError: if it can't be exported.
        """
        from fashionsearch.runtimes.graph import export, kept_graph

        return kept_graph(lambda: export(self.module, self.preprocess), self._cache_salt)

    def ready_graph(self) -> bytes:
        """Return the graph that is saved beside the weights, compared with torch; of a tagger it gives familiarity too.

        Raises:
            LeftOut: if it can't be exported, with a `DataWarning` that says why.
        """
        if self._exported is None:
            from fashionsearch.backbones.exported import exported_graph

            try:
                with noticed("exporting the network, which then runs without torch", shown=self.progress):
                    self._exported = exported_graph(self.module, self.preprocess, self._cache_salt)
            except errors.RuntimeUnavailableError as error:
                warnings.warn(
                    f"saved without {GRAPH}, so that loading it takes torch: {error}",
                    errors.DataWarning,
                    stacklevel=2,
                )
                raise storage.LeftOut from error
        return self._exported

    def save(self, folder: storage.PathLike, *, onnx: bool = True) -> None:
        """Save the network's weights and preprocessing to a folder, atomically.

        Args:
            folder: made where it is missing.
            onnx: beside trained weights save the network as a graph, by which it is loaded and runs without torch. Making it
                takes seconds, and a warning says where it can't be made.

        Raises:
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        storage.save(folder, "backbone", with_graph(self.writers(), onnx=onnx))

    @classmethod
    def load(
        cls,
        folder: storage.PathLike,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
        rebuild: bool = False,
    ) -> Self:
        """Load what `save` wrote, without touching the network; where it has a graph, and runs on the CPU, without torch.

        Args:
            folder: the saved folder.
            device: as for the constructor.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: likewise.
            rebuild: make the network from its weights, whatever graph lies beside them, which takes torch; so that no
                native code reads a graph of a stranger's.

        Raises:
            StorageError: if the folder holds no backbone or is damaged.
            UnknownBackboneError: if its architecture came from a plug-in that isn't installed.
            MissingPackageError: if it takes torch, which isn't installed.
        """
        saved = storage.open_saved(folder, "backbone")
        if rebuild:
            saved = saved.without(GRAPHS)
        return cls.read(saved, Execution(device, precision, runtime, batch_size, progress))

    @classmethod
    def read(cls, saved: storage.Saved, execution: Execution, prefix: str = "") -> Self:
        """Read a backbone from a verified folder, as part of another if there is a prefix.

        Raises:
            UnknownBackboneError: if its architecture came from a plug-in that isn't installed.
            WeightsError: if the weights don't fit the architecture, or one is NaN or infinite.
            CorruptFileError: if the files aren't what was saved.
        """
        return cls(**snapshot.read(saved, prefix), **dataclasses.asdict(execution))
