"""Errors cross processes with all they say."""

import pickle

from fashionsearch import errors


def test_an_error_of_a_worker_process_says_what_it_said_there():
    error = errors.ImageError([errors.ImageFailure(3, "a.jpg", "is damaged")])
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "image 3 (a.jpg): is damaged"  # noqa: S301
