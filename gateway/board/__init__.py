"""One board's owner: the worker thread, its command queue, its schema."""
