"""Keys that the server leaves for views in the WSGI environment. No imports, so that both sides may have them."""

CLOSING = "gateway.closing"
"""A callable: True once the server is about to stop, when a waiting view should answer at once."""
