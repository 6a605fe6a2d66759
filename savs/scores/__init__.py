"""Scores that can be added up: accuracy, intervals, groups of rows, average precision, calibration."""
