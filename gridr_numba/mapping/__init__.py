"""From a target's pixels to a source image's: what the mapping is, and how coarse a grid may hold it."""
