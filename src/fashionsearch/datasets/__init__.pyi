from fashionsearch.datasets.catalogue import make_catalogue
from fashionsearch.datasets.fashion_products import load_fashion_products
from fashionsearch.datasets.folder import load_csv, load_folder
from fashionsearch.datasets.overview import Overview
from fashionsearch.datasets.table import LoadReport, Table

__all__ = [
    "LoadReport",
    "Overview",
    "Table",
    "load_csv",
    "load_fashion_products",
    "load_folder",
    "make_catalogue",
]
