"""How ipseity's built-in model is made: its world, its training and its card."""
