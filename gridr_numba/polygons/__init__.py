"""Geometries in any form -> one set -> edges -> what a window's mask says of polygons."""
