"""The study's protocol and its tasks, for any backbone: what `study.py` runs.

A file imports only from those above it:

    names.py         labels, tasks, models and scorers; light, for the command line
    rows.py          a figure is a row; rows live in JSON files
    data.py          which photos are learned from, chosen on and measured on
    distortions.py   what is done to a photo
    figures.py       pure: labels and probabilities, or ranks, to figures with intervals
    candidates.py    a model, its weights and its scorer, and how it learns
    fitting.py       a candidate, fitted to a part
    tasks.py         what is measured for each candidate
    running.py       measures what is missing, writes each figure at once
    session.py       what one command line asks for
"""
