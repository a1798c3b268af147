"""Measuring an axis: `axis bench`. One module a subject; what it finds stands in docs, with the command that made it."""
