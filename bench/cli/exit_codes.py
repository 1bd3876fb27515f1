"""Exit codes of the `finebench` command; 0 is success."""

EXIT_FAILED_TRIALS, EXIT_BAD_INPUT, EXIT_REFUTED, EXIT_INTERRUPTED = 3, 2, 4, 130
