"""Finds what is wrong with a catalogue: labels, copies, leaks, broken photos, contradictions."""
