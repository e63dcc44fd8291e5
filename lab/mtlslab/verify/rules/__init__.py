"""The rules over the effective configuration: what must hold in what nginx reads."""
