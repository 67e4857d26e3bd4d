"""Tables of the papers, the runs that fill them, and the page that shows both."""

from .paper import Paper, load_papers
from .recipe import Recipe
from .row import Row
from .table import Table

__all__ = ['Paper', 'Recipe', 'Row', 'Table', 'load_papers']
