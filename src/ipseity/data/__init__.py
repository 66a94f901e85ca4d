"""Photos in, batches out, and what shall be shown beside the subject."""
