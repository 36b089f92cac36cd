"""The plug-in is installed and used by tests/backbones/test_plugins.py; importing it here would register it for all."""

collect_ignore_glob = ["*.py"]
