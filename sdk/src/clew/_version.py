"""The version of the distribution, as a literal: reading it from metadata would double the import time."""

__version__ = "0.1.0"
