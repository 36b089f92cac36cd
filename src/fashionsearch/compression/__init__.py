"""Faster encoders: lower precision, and the fastest way on this machine."""
