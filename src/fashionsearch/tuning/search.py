"""The search behind `tune`: trial after trial in an Optuna study, each decided by the seed, its number and those before."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from fashionsearch import errors
from fashionsearch.cache import cache_key
from fashionsearch.images import Images, decoding, iterate, named, ordered_map
from fashionsearch.progress import open_bar
from fashionsearch.results import History
from fashionsearch.tagging.classifier import Classifier
from fashionsearch.training import FineTuning
from fashionsearch.training.run_folder import RunFolder
from fashionsearch.tuning.candidates import PLACED, Candidate

_SHARES = 5  # trials are compared after each fifth of their epochs
_COMPLETE_BEFORE_STOPPING = 4


class Search:
    """Runs trial after trial, each decided by the seed, its number and the trials before."""

    def __init__(
        self,
        optuna: Any,
        study: Any,
        candidates: Sequence[Candidate],
        training: tuple[Images, Any],
        validation: tuple[Images, Any],
        run: RunFolder,
    ) -> None:
        self._optuna, self._study, self._run = optuna, study, run
        self._candidates = {candidate.label: candidate for candidate in candidates}
        self._training, self._validation = training, validation
        frozen = [candidate for candidate in candidates if candidate.regime == "weights"]
        self._heads = len(frozen)
        self._first = [
            *({"backbone": candidate.label} for candidate in frozen),
            *(each.default_params() for each in candidates),
        ]
        self._states = optuna.trial.TrialState
        self._best: Classifier | None = None

    def run_until(self, trials: int, *, progress: bool) -> None:
        """Run trials until there are so many."""
        begun = sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))
        with open_bar(trials, "tuning", "trial", shown=progress, done=min(begun, trials)) as bar:
            for _ in range(begun, trials):
                self._run_one()
                bar.update()
        for left in self._run.folder.glob("trial-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _run_one(self) -> None:
        trial = self._next()
        began = time.perf_counter()
        value, state = None, self._states.COMPLETE
        classifier, training = self._suggested(trial)
        checkpoints = None
        if self._run.kept and training != "frozen":
            checkpoints = self._run.folder / f"trial-{trial.number}"
        trial.set_user_attr("training", training)
        twin = self._same_options(trial)
        try:
            if twin is None:
                classifier.fit(
                    *self._training,
                    validation=self._validation,
                    checkpoints=checkpoints,
                    loggers=[] if training == "frozen" else [self._listener(trial, classifier, training)],
                )
                value = _validation_accuracy(classifier.history_)
            else:  # the seed decides the result, so it is known
                value, state = twin.value, twin.state
                for share, accuracy in twin.intermediate_values.items():
                    trial.report(accuracy, share)
        except self._optuna.TrialPruned:
            state = self._states.PRUNED
        except errors.TrainingError:
            state = self._states.FAIL
        best = self._best_trial()
        if twin is None and value is not None and (best is None or value > best.value):
            self._best = classifier
            if self._run.kept:
                classifier.save(self._run.folder / "best")
        trial.set_user_attr("seconds", time.perf_counter() - began)
        self._study.tell(trial, value if state == self._states.COMPLETE else None, state=state)
        if checkpoints is not None:
            shutil.rmtree(checkpoints, ignore_errors=True)

    def _next(self) -> Any:
        """Return the trial that was interrupted, or a new one."""
        there = self._study.get_trials(deepcopy=False)
        for trial in there:
            if trial.state == self._states.RUNNING:
                return self._optuna.trial.Trial(self._study, trial._trial_id)
        waiting = any(trial.state == self._states.WAITING for trial in there)
        if not waiting and len(there) < len(self._first):
            self._study.enqueue_trial(self._first[len(there)])
        return self._study.ask()

    def _suggested(self, trial: Any) -> tuple[Classifier, str]:
        """Return an unfitted classifier, and how it is trained."""
        self._draw_afresh(trial, 0)
        candidate = self._candidates[trial.suggest_categorical("backbone", list(self._candidates))]
        own = candidate.classifier.random_state
        classifier = clone(candidate.classifier).set_params(
            random_state=self._run.seed if own is None else own, progress=False
        )
        if trial.number < self._heads:
            weights = candidate.base.class_weights or classifier.class_weight
            return classifier.set_params(training=None, class_weight=weights), "frozen"
        training = candidate.suggested(trial, lambda place: self._draw_afresh(trial, place))
        # Augmented views are for heads; a network that learns sees its photos augmented in every epoch.
        return classifier.set_params(training=training, augmented_views=0), candidate.regime

    def _draw_afresh(self, trial: Any, place: int) -> None:
        # Drawn from the seed and the place alone, a trial that was interrupted resumes with the same draws.
        state = np.random.SeedSequence((self._run.seed, trial.number, place)).generate_state(1)
        self._study.sampler = self._optuna.samplers.TPESampler(seed=int(state[0]), multivariate=False)

    def _listener(self, trial: Any, classifier: Classifier, regime: str) -> object:
        from fashionsearch.training.callbacks import EpochListener

        epochs = (classifier.training or FineTuning()).recipe(regime).epochs or 1
        reported = set(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def hear(done: int, accuracy: float) -> None:
            share = _SHARES * done // epochs
            if share == _SHARES * (done - 1) // epochs:
                return
            if share not in reported:
                reported.add(share)
                trial.report(accuracy, share)
            if done < epochs and trial.should_prune():
                raise self._optuna.TrialPruned

        return EpochListener(hear)

    def _same_options(self, trial: Any) -> Any:
        """Return an earlier trial of the same options, if there is one."""
        for other in self._study.get_trials(deepcopy=False)[: trial.number]:
            alike = other.params == trial.params and (other.number < self._heads) == (
                trial.number < self._heads
            )
            if alike and other.state.is_finished():
                return other
        return None

    def _best_trial(self) -> Any:
        complete = self._study.get_trials(deepcopy=False, states=(self._states.COMPLETE,))
        return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)

    def best(self) -> tuple[Classifier, float]:
        """Return the fitted classifier that did best, and its accuracy.

        Raises:
            TrainingError: if no trial could be trained.
        """
        best = self._best_trial()
        if best is None:
            raise errors.TrainingError(
                "no trial could be trained: each loss became no number; try a lower range for learning_rate"
            )
        if self._best is None:
            given = self._candidates[best.params["backbone"]].classifier
            placed = {name: getattr(given, name) for name in PLACED}
            self._best = Classifier.load(self._run.folder / "best", **placed)
        return self._best, float(best.value)

    def history(self) -> History:
        """Return a row for each trial."""
        trials = self._study.get_trials(deepcopy=False)
        return History(tuple(self._row(trial) for trial in trials if trial.state.is_finished()))

    def _row(self, trial: Any) -> dict[str, Any]:
        names = dict.fromkeys(name for candidate in self._candidates.values() for name in candidate.space)
        candidate = self._candidates[trial.params["backbone"]]
        value, state = trial.value, "complete"
        if trial.state == self._states.PRUNED:
            value, state = trial.intermediate_values[max(trial.intermediate_values)], "stopped"
        elif trial.state == self._states.FAIL:
            value, state = float("nan"), "failed"
        return {
            "trial": trial.number,
            "state": state,
            "validation_accuracy": value,
            "backbone": candidate.label,
            "training": trial.user_attrs["training"],
            **{name: trial.params.get(candidate.key(name)) for name in names},
            "seconds": trial.user_attrs["seconds"],
        }


def _validation_accuracy(history: History) -> float:
    """Return the accuracy of the row that was kept: the lowest loss at the full size."""
    largest = max(row.get("image_size", 0) for row in history.rows)
    rows = [row for row in history.rows if row.get("image_size", 0) == largest]
    return float(min(rows, key=lambda row: row["validation_loss"])["validation_accuracy"])


def digest_of(images: Images, labels: Any) -> str:
    """Return what tells these images and labels from others."""

    def key(numbered: tuple[int, decoding.Image]) -> bytes:
        position, image = numbered
        with named(position, image):
            return cache_key(
                decoding.content(image) if decoding.is_encoded(image) else decoding.decode(image), ""
            )

    digest = hashlib.sha256(repr(labels.tolist()).encode())
    for each in ordered_map(key, enumerate(iterate(images))):
        digest.update(each)
    return digest.hexdigest()


def import_optuna() -> Any:
    """Import Optuna.

    Raises:
        MissingPackageError: if it isn't installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise errors.MissingPackageError("tune needs Optuna: pip install optuna") from error
    return optuna


@contextlib.contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna's notes about new studies off the user's screen."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


@contextlib.contextmanager
def opened(optuna: Any, run: RunFolder) -> Iterator[Any]:
    """Open the study in a folder, or one in memory."""
    storage: Any = None
    if run.kept:
        path = run.folder / "study.db"
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path.as_posix()}")
        # A damaged file raises errors of SQLAlchemy, of alembic and of Optuna.
        except Exception as error:
            raise errors.CorruptFileError(
                f"{path} can't be read ({str(error).splitlines()[0][:200]}); delete the folder to search from the start"
            ) from error
    try:
        yield optuna.create_study(
            storage=storage,
            study_name="fashionsearch",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_COMPLETE_BEFORE_STOPPING),
        )
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()
