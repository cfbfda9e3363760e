"""Size and statistics of each image in a FITS file, as a table."""
