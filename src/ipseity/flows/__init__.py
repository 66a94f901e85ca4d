"""The flows, one file a verb: each takes a recipe or a run, tells what happens as events, and gives its result."""
