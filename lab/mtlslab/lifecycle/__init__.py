"""The use cases around a lab's services: render, up, down, status, logs, reload, doctor."""
