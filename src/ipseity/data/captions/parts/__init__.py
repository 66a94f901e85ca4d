"""Parts of captioners that are not captioners themselves."""
