"""What the tests of training share."""

import pytest


@pytest.fixture
def killer():
    """A logger that ends a run when its epoch says so, as a kill would, by raising its `StopError`."""
    from lightning.pytorch.loggers.logger import DummyLogger

    class Killer(DummyLogger):
        class StopError(Exception):
            pass

        def __init__(self, when=lambda epoch: epoch == 1):
            super().__init__()
            self._when = when

        def log_metrics(self, metrics, step=None):
            if self._when(metrics.get("epoch", 0)):
                raise Killer.StopError

    return Killer
