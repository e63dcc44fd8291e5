"""Doors: every way in which the services can be asked, and what unauthorised clients get who knock there."""
