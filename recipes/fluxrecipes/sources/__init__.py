"""Providers' files: where each day lies, what it holds, and how to tell a damaged one."""
