"""
The nouns of the axis: what a document, a station, an event and a reason are.

Standard library only, no I/O. Every other package of the axis may import this one; it imports none of them.
"""
