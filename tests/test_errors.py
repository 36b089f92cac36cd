"""The tree of errors, and how they cross processes."""

import pickle

from fashionsearch import errors


def test_an_error_of_a_worker_process_says_what_it_said_there():
    error = errors.ImageError([errors.ImageFailure(3, "a.jpg", "is damaged")])
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "image 3 (a.jpg): is damaged"  # noqa: S301


def test_errors_are_drawn_in_their_docstring():
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.FashionSearchError):
            assert name in tree
