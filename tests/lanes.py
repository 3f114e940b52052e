"""Which tests some lanes of `.ci/run` run, and why.

The lane "without compilation" runs those marked `kernels`. A file is in one of these lists. In the first are those
whose tests depend on what kernels compute, or on which thread does what. The others test arguments, messages, files,
plans and the command line, which are the same uncompiled: what they have of kernels, the first ones have too, on small
cases.

The lane with the oldest dependencies leaves out those marked `own`: `OWN` has them, as files, or tests of a file. It
runs those of kernels with one thread, but for `THREADS`: the README's command has run them with all. These, and the
others, it runs with all threads too.
"""

KERNELS = {
    "test_against_gridr",
    "test_causes",
    "test_chain",
    "test_checksum",
    "test_coordinates",
    "test_densifier",
    "test_densifier_places",
    "test_densifier_sharing",
    "test_resample",
    "test_densify",
    "test_in_memory",
    "test_inspection",
    "test_jit",
    "test_laws",
    "test_make_grid",
    "test_pipeline",
    "test_resample_files",
    "test_polygons",
    "test_resources",
    "test_scanline",
    "test_source_box",
    "test_taps",
    "test_threads",
    "test_validity",
    "test_vectors",
    "test_windows",
}
#: Of these, what asks for more threads than one.
THREADS = {"test_densifier_sharing", "test_scanline", "test_threads"}
OTHERS = {
    "test_bands",
    "test_checks",
    "test_cli",
    "test_cli_errors",
    "test_cli_looks",
    "test_cli_process",
    "test_cli_resample",
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
    "test_lazy_resample",
    "test_make_grid_files",
    "test_mosaics",
    "test_packaging",
    "test_plan",
    "test_plot",
    "test_polygon_files",
    "test_preview",
    "test_projected",
    "test_public",
    "test_publishing",
    "test_raw_files",
    "test_readme",
    "test_report_page",
    "test_site",
    "test_warp",
    "test_write_zarr",
    "test_zarr",
}

#: What depends on this project's files alone, on Python, or on what the operating system does with files and
#: locks: it is the same with any dependencies. What asks one of them for anything is not here.
OWN = {
    "test_checks": "arguments, before anything else sees them",
    "test_cli_process::test_a_closed_stderr_is_no_failure": "Python's own streams",
    "test_cli_process::test_a_stderr_that_cannot_be_written_to_is_no_failure": "Python's own streams",
    "test_cli_process::test_ctrl_c_and_termination_leave_nothing": "signals, which test_faults has at any moment",
    "test_docs": "documents, and what they name",
    "test_layers": "which module imports which",
    "test_lazy::test_a_cluster_whose_workers_all_die_gives_the_same": "test_write_zarr kills those of the oldest too",
    "test_packaging": "versions in files",
    "test_plan": "windows, in integers",
    "test_site": "the site, which another lane builds",
    "test_readme": "its commands, which other tests have as calls",
    "test_publishing": "locks and names of files, of jobs at the same time",
    "test_zarr::test_killed_in_publish_the_old_store_is_there_or_the_new_one": "names of folders",
}
