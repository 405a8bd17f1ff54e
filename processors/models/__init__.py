"""The models a job may name, and their weights as numpy arrays. Nothing here computes a pixel."""
