"""Studies, one file each: its rows and its table; imports core alone."""
