"""Tables, figures and the README of recorded rows; imports core alone."""
