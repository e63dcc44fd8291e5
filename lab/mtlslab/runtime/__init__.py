"""What runs nginx: containers, or plain processes."""
