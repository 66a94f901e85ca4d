"""The loop, what it runs on, and the folder it leaves."""
