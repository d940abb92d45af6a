"""Lets the product start as a module."""

from gateway.cli import main

main()
