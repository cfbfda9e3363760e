"""Source extraction on one astronomical image: FITS in, source catalog out."""

__version__ = "0.1.0"
