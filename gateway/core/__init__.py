"""Decisions: plain functions over what is known, with `now` as an argument."""
