"""What a stranger may hand us, byte by byte: targets that may raise the documented errors and nothing else."""
