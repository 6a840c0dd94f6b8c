"""Writing of files, lines of records and folders, whole or not at all; everything goes through it.

Nothing is removed but what the same process made, or what an earlier one of this package left under
a name that begins with `files.MARK`.
"""
