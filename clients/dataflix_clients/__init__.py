"""The servers, one module for each: how to connect, what to ask, and whether the answer is healthy."""
