"""The tests mirror the package; nothing in here is installed."""
