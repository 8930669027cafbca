"""The door between the engine and the event loop."""
