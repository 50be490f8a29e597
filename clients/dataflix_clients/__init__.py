"""Connect to the stack's servers, ask them, and judge from their answers whether the stack is healthy."""
