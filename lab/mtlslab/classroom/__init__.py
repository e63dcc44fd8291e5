"""What a lesson needs: pages about checks, recipes for other people's clients."""
