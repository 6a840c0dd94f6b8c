"""Many steps: starts, the loop, batches of fits and their diagnostics; imports `objectives`,
`solvers` and what is below them."""
