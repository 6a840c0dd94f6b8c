"""What is minimised: gradient parts, losses, penalties, terms and the abstract objective; imports
`data` and what is below it."""
