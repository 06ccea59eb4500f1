"""Studies that the book quotes: grids of runs, and what they recorded."""

from genre2_mini.experiments.results import load_results, save_results

__all__ = ["load_results", "save_results"]
