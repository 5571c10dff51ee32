//! Traces: samples as rows of a Parquet file.
