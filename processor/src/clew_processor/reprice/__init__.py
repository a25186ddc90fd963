"""Prices that came later: what they change, and the rows that change it."""
