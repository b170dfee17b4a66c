"""Simulated PBXs, one module each."""
