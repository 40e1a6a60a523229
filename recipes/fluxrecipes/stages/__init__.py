"""The stages of the products: each maps a window of named arrays to new ones.

One module each, so that a change of one is a reason to run again for its own products alone.
"""
