"""Tuners, assessors and advisors: their contracts, and what all of them share."""
