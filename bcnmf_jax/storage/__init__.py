"""Files, lines of records and folders on disk, written whole or not at all; imports nothing of the
package.

Nothing is removed but what the same process made, or what an earlier one of this package left under
a name that begins with `files.MARK`.
"""
