"""The version alone, so that no room has to import the package's face."""

__version__ = "0.1.0"
