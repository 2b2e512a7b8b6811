"""The network with its weights, the engine that runs it, its segments."""
