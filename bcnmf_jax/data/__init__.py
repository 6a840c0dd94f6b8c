"""What a fit reads: arrays, sparse blocks, files and their checks; imports `storage` alone."""
