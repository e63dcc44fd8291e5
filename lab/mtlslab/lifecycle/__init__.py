"""The use cases of a lab's life: render, up, down, status, logs, reload."""
