"""Queued job -> output object and quality document. Only `engines/` imports openvino or torch."""
