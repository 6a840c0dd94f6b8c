"""Files of samples x features, of the kinds that this field keeps them in, as one class."""

from bcnmf_jax.datasets.tables.files import read_table
from bcnmf_jax.datasets.tables.table import Table, TableError

__all__ = ["Table", "TableError", "read_table"]
