"""What everything that writes goes through: whole files, lines of records, and folders.

Nothing is removed but what the same process made, or what an earlier one of this package left under
a name that begins with `files.MARK`.
"""
