"""Where configuration comes from: one file per kind of source, each giving `Settings`."""
