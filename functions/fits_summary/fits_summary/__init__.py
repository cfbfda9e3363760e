"""What is in a FITS file: its extensions and main header cards, as JSON."""
