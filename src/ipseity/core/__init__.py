"""The words everybody speaks and the physics everybody obeys. Imports nothing else of ours."""
