"""The version of kgrec, for everything that states it; imports nothing."""

__version__ = "0.2.0"
