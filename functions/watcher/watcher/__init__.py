"""Keeps standing queries: messages of an archive -> invocations of the stack's functions. No science."""
