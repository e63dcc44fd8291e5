"""The proof that the checks bite: sabotaged twins of a lab, each of which must turn them red."""
