"""Configurations, methods, data sets, records and scores; imports nothing else of experiments."""
