"""The plug-in is installed and used by processes of their own; importing it here would register it for all."""

collect_ignore = ["fashionsearch_tartan.py"]
