"""What must run: settings, services, the text of the rendered files. Nothing is written."""
