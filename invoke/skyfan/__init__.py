"""skyfan: source extraction fanned out over a sky archive."""
