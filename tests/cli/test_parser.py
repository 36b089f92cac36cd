"""The command line's words, of all commands and of one."""

import argparse

import pytest

from fashionsearch.cli.parser import make_parser


def commands_of(parser):
    (found,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return found.choices


@pytest.mark.parametrize("name", list(commands_of(make_parser())))
def test_the_command_that_is_called_is_made_alone_and_is_the_same(name):
    alone = commands_of(make_parser(name))
    assert list(alone) == [name]
    assert alone[name].format_help() == commands_of(make_parser())[name].format_help()


@pytest.mark.parametrize("word", ["--help", "--version", "serach", None])
def test_other_words_have_all_commands(word):
    assert list(commands_of(make_parser(word))) == list(commands_of(make_parser()))
