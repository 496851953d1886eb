"""Area D: triggers, panes, lateness."""
