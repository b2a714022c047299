"""Statements about models: costs, faults, differences, savings, and figures of them."""
