"""What an exporter says is not heard, and what the rest of the program says meanwhile is."""

import logging
import sys
import threading
import warnings

import pytest

from fashionsearch.runtimes.quiet import quiet


def speak(who):
    print(f"{who} prints")
    print(f"{who} prints an error", file=sys.stderr)
    logging.getLogger("torch.onnx").warning("%s logs", who)
    logging.getLogger("theirs").warning("%s logs", who)
    warnings.warn(f"{who} warns", UserWarning, stacklevel=1)


def test_only_the_exporting_thread_is_silent(capsys, caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = (sys.stdout, sys.stderr, list(warnings.filters))
        with quiet():
            speak("the exporter")
            thread = threading.Thread(target=speak, args=["the host"])
            thread.start()
            thread.join()
            logging.getLogger("torch.onnx").error("an error is heard")
        assert (sys.stdout, sys.stderr, list(warnings.filters)) == before
        speak("afterwards")
    printed = capsys.readouterr()
    for heard in (printed.out, printed.err, caplog.text, "".join(str(each.message) for each in caught)):
        assert "the exporter" not in heard
        assert "the host" in heard
        assert "afterwards" in heard
    assert "an error is heard" in caplog.text


def test_what_the_host_changed_meanwhile_stays(monkeypatch):
    mine = object()
    with quiet():
        monkeypatch.setattr(sys, "stdout", mine)
        warnings.filterwarnings("error", message="added meanwhile")
    assert sys.stdout is mine
    with pytest.raises(UserWarning, match="added meanwhile"):
        warnings.warn("added meanwhile", UserWarning, stacklevel=1)
    warnings.filters.pop(0)


def test_a_program_without_streams_is_silent_as_well(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with quiet():
        pass
    assert sys.stdout is None
