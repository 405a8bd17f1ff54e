"""The handlers: each parses, makes one call, and renders."""
