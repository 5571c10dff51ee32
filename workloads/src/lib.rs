//! Benchmark kernels and catalogue.
