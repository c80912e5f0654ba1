"""Fleets an emulated cloud starts with: synthetic, or read from a file."""
