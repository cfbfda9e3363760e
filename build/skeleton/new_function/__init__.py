"""Size and statistics of each image in a FITS file."""
