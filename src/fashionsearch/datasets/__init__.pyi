from .catalogue import make_catalogue
from .corrections import load_corrections
from .csv_file import load_csv
from .fashion_products import load_fashion_products
from .folder import load_folder
from .overview import Overview
from .table import LoadReport, Table

__all__ = [
    "LoadReport",
    "Overview",
    "Table",
    "load_corrections",
    "load_csv",
    "load_fashion_products",
    "load_folder",
    "make_catalogue",
]
