"""The services that this one replaces, as their clients know them: one module each, on the same jobs."""
