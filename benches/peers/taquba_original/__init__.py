"""The crates `taquba` and `taquba-workflow`, which this package began from, beside it."""
