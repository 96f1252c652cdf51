"""Sartor: language models, made to measure."""

__version__ = "0.1.0"
