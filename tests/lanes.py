"""Which test files the lanes "one thread" and "without compilation" of `.ci/run` run: those marked `kernels`.

A file is in one of these lists. In the first are those whose tests depend on what kernels compute, or on which thread
does what. The others test arguments, messages, files, plans and the command line, which are the same with one thread
and uncompiled: what they have of kernels, the first ones have too, on small cases.
"""

KERNELS = {
    "test_against_gridr",
    "test_causes",
    "test_chain",
    "test_checksum",
    "test_coordinates",
    "test_densifier",
    "test_resample",
    "test_densify",
    "test_in_memory",
    "test_inspection",
    "test_laws",
    "test_make_grid",
    "test_pipeline",
    "test_polygons",
    "test_resources",
    "test_scanline",
    "test_threads",
    "test_windows",
}
OTHERS = {
    "test_bands",
    "test_checks",
    "test_cli",
    "test_clusters",
    "test_demo",
    "test_docs",
    "test_doubts",
    "test_errors",
    "test_examples",
    "test_faults",
    "test_formats",
    "test_georef",
    "test_gis",
    "test_inputs",
    "test_layers",
    "test_lazy",
    "test_make_grid_files",
    "test_packaging",
    "test_plan",
    "test_plot",
    "test_polygon_files",
    "test_preview",
    "test_projected",
    "test_public",
    "test_publishing",
    "test_readme",
    "test_report_page",
    "test_site",
    "test_write_zarr",
    "test_zarr",
}
