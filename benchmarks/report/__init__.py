"""The pages of docs/ that show figures, from the files in benchmarks/results/: what `make_pages.py` writes.

A file imports only from those above it:

    results.py    a folder of the study's rows: figures by candidate, over all seeds
    tables.py     Markdown, and words that tables share
    speed.py      tables of how fast things are
    recipes.py    tables of the library's recipes, and of how networks learn by them
    study.py      tables of how good models are
    charts.py     curves and matrices
    pages.py      fills pages
"""
