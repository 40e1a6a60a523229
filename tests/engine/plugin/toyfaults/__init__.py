"""A plug-in for the fault run: files that tell their day and damage, a stage that needs memory."""
