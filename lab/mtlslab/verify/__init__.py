"""Whether a lab does what it must: checks, the procedures behind them, the run, its report."""
