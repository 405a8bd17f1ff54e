"""Bucket notification -> validated, queued job; and the sweep that finds what notifications missed."""
