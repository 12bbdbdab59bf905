"""How vendors count: windows of use, their calendars, the shape of a limit. Pure."""
